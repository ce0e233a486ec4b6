package parleytest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// exampleTB stands for the *testing.T of a test; it prints what a test would report.
type exampleTB struct{ fakeTB }

func (e *exampleTB) Errorf(format string, args ...any) { fmt.Printf(format+"\n", args...) }
func (e *exampleTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// The code under test takes a session, so that a test can give it one of a mock.
func ExampleMock() {
	rename := func(ctx context.Context, api *parley.Client, id, name string) error {
		resp, err := api.Patch(ctx, "users/{id}", parley.WithPath("id", id), parley.WithJSON(map[string]string{"name": name}))
		if err != nil {
			return err
		}
		return resp.Err()
	}

	t := new(exampleTB) // func TestRename(t *testing.T)
	defer t.end()
	mock := parleytest.NewMock(t)
	route := mock.On("PATCH", "https://api.example.com/users/{id}").Reply(parleytest.Status(204), parleytest.Status(404))

	api := mock.Client(parley.WithBaseURL("https://api.example.com"))
	fmt.Println(rename(context.Background(), api, "7", "Ann"))
	fmt.Println(rename(context.Background(), api, "8", "Bob"))
	for _, call := range route.Calls() {
		fmt.Println(call.Values["id"], string(call.Body))
	}
	// Output:
	// <nil>
	// PATCH https://api.example.com/users/8: status 404 Not Found
	// 7 {"name":"Ann"}
	// 8 {"name":"Bob"}
}

// A request that fits no route says what was nearest.
func ExampleMock_unexpected() {
	t := new(exampleTB)
	mock := parleytest.NewMock(t)
	mock.On("POST", "https://api.example.com/orders").WithJSON(map[string]any{"item": "tea", "n": 2}).Optional()

	_, err := mock.Client().Post(context.Background(), "https://api.example.com/orders", parley.WithJSON(map[string]any{"item": "tea", "n": 3}))
	_, why, _ := strings.Cut(err.Error(), ", but ")
	fmt.Println(errors.Is(err, parleytest.ErrUnexpected), why)
	// At its end the test reports the request, and where the nearest route was made.

	// Output:
	// true in the JSON .n is 3, should be 2
}

// The first run of this test went to the network, with a real token, and wrote
// testdata/users.har. All others replay that, as this one does. To record anew run it with
// PARLEY_CASSETTE=record.
func ExampleNewCassette() {
	t := new(exampleTB) // func TestUsers(t *testing.T)
	defer t.end()
	cassette := parleytest.NewCassette(t, "testdata/users.har", parleytest.CassetteConfig{ReportUnused: true})

	token := "any" // replaying takes none
	if cassette.Records() {
		token = os.Getenv("API_TOKEN")
	}
	api := cassette.Client(parley.WithBaseURL("https://api.example.com"), parley.WithBearerToken(token))

	type user struct {
		ID       int
		Name     string
		APIToken string `json:"api_token"`
	}
	fmt.Println(parley.As[user](api.Get(context.Background(), "users/7")))
	fmt.Println(parley.As[user](api.Post(context.Background(), "users", parley.WithJSON(map[string]string{"name": "Bob", "password": "another"}))))
	// Output:
	// {7 Ann [hidden]} <nil>
	// {8 Bob [hidden]} <nil>
}

// A request that was not recorded says what is nearest, and does not go to the network.
func ExampleCassette_unexpected() {
	t := new(exampleTB)
	api := parleytest.NewCassette(t, "testdata/users.har", parleytest.CassetteConfig{}).Client()

	_, err := api.Post(context.Background(), "https://api.example.com/users", parley.WithJSON(map[string]string{"name": "Eve", "password": "x"}))
	_, why, _ := strings.Cut(err.Error(), ": the ")
	why, _, _ = strings.Cut(why, ";")
	fmt.Println(errors.Is(err, parleytest.ErrUnexpected), why)
	// Output:
	// true nearest recording is number 2, POST https://api.example.com/users, but in the JSON .name is "Eve", was "Bob"
}

// Errors have the kind, the phase and the word on what was sent that they have over a network.
func ExampleFail() {
	t := new(exampleTB)
	defer t.end()
	mock := parleytest.NewMock(t)
	mock.On("GET", "*").Reply(parleytest.Fail(parley.ErrConnect), parleytest.Fail(parley.ErrPeerClosed))
	for range 2 {
		_, err := mock.Client().Get(context.Background(), "https://api.example.com/")
		var e *parley.Error
		fmt.Println(err, errors.As(err, &e), e.Sent)
	}
	// Output:
	// GET https://api.example.com/: connect: cannot connect true not sent
	// GET https://api.example.com/: response: peer closed the connection true maybe sent
}

// Minutes pass in a bubble of testing/synctest without time passing outside.
func ExampleTimeout() {
	test := func(t *testing.T) { // func TestPatience(t *testing.T)
		synctest.Test(t, func(t *testing.T) {
			mock := parleytest.NewMock(t)
			mock.On("GET", "*").Reply(parleytest.Timeout(parley.PhaseResponse))
			began := time.Now()
			_, err := mock.Client().Get(t.Context(), "https://api.example.com/")
			if !errors.Is(err, parley.ErrResponseTimeout) || time.Since(began) != parley.DefaultResponseTimeout {
				t.Errorf("after %v: %v", time.Since(began), err)
			}
		})
	}
	_ = test
}

// A pool over connections in memory: in a bubble its expiry takes no time.
func ExampleInMemory() {
	test := func(t *testing.T) { // func TestExpiry(t *testing.T)
		synctest.Test(t, func(t *testing.T) {
			dialer := parleytest.InMemory(t, parleytest.Status(204))
			client := parleytest.NewClient(t, parley.WithDialer(dialer), parley.WithBaseURL("http://api.example.com"))
			for range 2 {
				resp, err := client.Get(t.Context(), "")
				if err != nil {
					t.Fatal(err)
				}
				t.Log(resp.Timing().Reused) // false, both times
				time.Sleep(2 * time.Minute)
			}
		})
	}
	_ = test
}

// The same handlers answer over a socket, for code that does not use parley, or for the pool
// itself.
func ExampleNewServer() {
	t := new(exampleTB)
	defer t.end()
	server := parleytest.NewServer(t, parleytest.Sequence(
		parleytest.WithHeader("Retry-After", "3", parleytest.Status(503)),
		parleytest.JSON(200, map[string]string{"name": "Ann"}),
	))
	for range 2 {
		resp, err := server.Client.Get(context.Background(), "users/7")
		if err != nil {
			panic(err)
		}
		text, err := resp.Text()
		fmt.Println(resp.StatusCode, resp.Header.Get("Retry-After"), text, err)
	}
	// Output:
	// 503 3  <nil>
	// 200  {"name":"Ann"} <nil>
}

// A server that breaks off in the middle of its second answer.
func ExampleFaultServer() {
	t := new(exampleTB)
	defer t.end()
	server := parleytest.NewFaultServer(t, parleytest.EachRequest(
		parleytest.Respond(200, "fine"),
		parleytest.SayAndClose("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"),
	))
	client := server.Client()
	for _, path := range []string{"a", "b"} {
		resp, err := client.Stream(context.Background(), "GET", path)
		if err != nil {
			panic(err)
		}
		b, err := io.ReadAll(resp.Body)
		fmt.Printf("%q %v\n", b, errors.Is(err, parley.ErrRead))
	}
	fmt.Println(server.Requests()[1].Target, server.Connections())
	// Output:
	// "fine" false
	// "half" true
	// /b 1
}

// A test that leaves nothing behind: call it first.
func ExampleNoLeaks() {
	test := func(t *testing.T) { // func TestDownload(t *testing.T)
		server := parleytest.NewServer(t, parleytest.File("testdata/large.bin"), parleytest.NoLeaks(t))
		resp, err := server.Client.Stream(t.Context(), "GET", "large.bin")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Close() // without it the test fails and names the line of Stream
	}
	_ = test
}

// A transport of one's own that counts requests, and the test that it keeps the contract.
func ExampleTransportSuite() {
	test := func(t *testing.T) { // func TestMyTransport(t *testing.T)
		parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
			pool, err := parley.NewPool(parley.PoolConfig{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { pool.Close() })
			return counting(pool), parleytest.Serve(t, h) // counting is a parley.Middleware
		})
	}
	_ = test
}

func counting(next parley.Transport) parley.Transport { return next }
