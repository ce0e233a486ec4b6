package parleytest_test

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// large is an answer with more content than is ever on its way.
func large() http.Handler { return parleytest.Bytes(200, "", make([]byte, 1<<20)) }

func TestNoLeaks_isContentWithCleanTests(t *testing.T) {
	t.Parallel()
	all, _ := reports(t, func(tb testing.TB) {
		watch := parleytest.NoLeaks(tb)
		s := parleytest.NewServer(tb, large(), watch)
		parleytest.NoLeaks(tb, s.Client)
		_, err := s.Client.Get(t.Context(), "a")
		require.NoError(t, err)
		resp, err := s.Client.Stream(t.Context(), "GET", "b")
		require.NoError(t, err)
		require.NoError(t, resp.Close())
		_, err = s.Client.Get(t.Context(), "http://127.0.0.1:1/")
		require.Error(t, err)
		ended := make(chan struct{})
		go func() { <-ended }()
		close(ended)
	})
	require.Empty(t, all)
}

// What is found is found after some seconds, which take no time in a bubble.

func TestNoLeaks_findsResponses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var left *parley.Response
		reported(t, func(tb testing.TB) {
			watch := parleytest.NoLeaks(tb)
			mock := parleytest.NewMock(tb)
			mock.On("GET", "*").Reply(parleytest.Text(200, "tea"))
			client := mock.Client(watch)
			_, err := client.Get(t.Context(), "http://h.test/read")
			require.NoError(t, err)
			closed, err := client.Stream(t.Context(), "GET", "http://h.test/closed")
			require.NoError(t, err)
			require.NoError(t, closed.Close())
			left, err = client.Stream(t.Context(), "GET", "http://h.test/left?token=planted")
			require.NoError(t, err)
		}, "GET http://h.test/left: the response 200 OK was neither read to its end nor closed", "parleytest_test.TestNoLeaks_findsResponses", "leaks_test.go:")
		require.NoError(t, left.Close())
	})
}

func TestNoLeaks_findsRequestsThatGoOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		go2 := make(chan struct{})
		all, _ := reports(t, func(tb testing.TB) {
			watch := parleytest.NoLeaks(tb)
			mock := parleytest.NewMock(tb)
			mock.On("GET", "*").Reply(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-go2 }))
			client := mock.Client(watch)
			go client.Get(t.Context(), "http://h.test/slow") // its answer is of no interest
			synctest.Wait()
		})
		require.Len(t, all, 2, all)
		require.Contains(t, all[0], "GET http://h.test/slow: the request has not ended; it was made by")
		require.Contains(t, all[1], "goroutines are left over")
		close(go2)
	})
}

func TestNoLeaks_findsConnectionsInUse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := parleytest.NewClient(t, parley.WithDialer(parleytest.InMemory(t, large())))
		var left *parley.Response
		reported(t, func(tb testing.TB) {
			parleytest.NoLeaks(tb, client)
			var err error
			left, err = client.Stream(t.Context(), "GET", "http://h.test/a")
			require.NoError(t, err)
		}, "is still in use:", "http://h.test:80: 1 active, 0 dialing, 0 waiting, the oldest for 5s")
		require.NoError(t, left.Close())
	})
}

func TestNoLeaks_findsGoroutines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		defer close(ended)
		reported(t, func(tb testing.TB) {
			parleytest.NoLeaks(tb)
			forgetful(ended)
		}, "goroutines are left over", "2 of these:", "parleytest_test.forgetful.func1", "created by github.com/seed-0474a412/parley/parleytest_test.forgetful in goroutine", "leaks_test.go:")
	})
}

func forgetful(ended chan struct{}) {
	for range 2 {
		go func() { <-ended }()
	}
}

func TestNoLeaks_testsAtTheSameTimeDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	defer close(ended)
	go func() { <-ended }() // somebody else's
	all, _ := reports(t, func(tb testing.TB) { parleytest.NoLeaks(tb) })
	require.Empty(t, all)
}
