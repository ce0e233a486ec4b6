package parleytest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

func TestSuite_theMockPasses(t *testing.T) {
	t.Parallel()
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		mock := parleytest.NewMock(t)
		mock.On("*", "*").Reply(h).Optional()
		return mock, "http://mock.test"
	})
}

// A route with a condition reads bodies before the handler does.
func TestSuite_aMockThatPassesThroughPasses(t *testing.T) {
	t.Parallel()
	parleytest.TransportSuite(t, func(t *testing.T, h http.Handler) (parley.Transport, string) {
		mock := parleytest.NewMock(t)
		mock.On("*", "*").PassThrough(parley.HandlerTransport(h)).Optional()
		return mock, "http://mock.test"
	})
}

func TestMock_patterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pattern string
		fits, misses  []string
	}{
		{"a whole URL, with any query", "https://api.example.com/users",
			[]string{"https://api.example.com/users", "https://API.example.com:443/users", "https://api.example.com/users?a=1"},
			[]string{"http://api.example.com/users", "https://api.example.com/users/", "https://api.example.com/users/1", "https://example.com/users", "https://api.example.com:8443/users"}},
		{"without a path it is the root", "https://api.example.com", []string{"https://api.example.com", "https://api.example.com/"}, []string{"https://api.example.com/a"}},
		{"a placeholder is one segment", "https://h.test/users/{id}/items",
			[]string{"https://h.test/users/1/items", "https://h.test/users/a%2Fb/items"}, []string{"https://h.test/users//items", "https://h.test/users/a/b/items"}},
		{"a placeholder for the rest", "/files/{path...}", []string{"http://a.test/files/a/b", "https://b.test/files/"}, []string{"http://a.test/files"}},
		{"a star is any text", "https://*.example.com:*/v*/users", []string{"https://a.example.com/v1/users", "https://a.b.example.com:81/v1/x/users"}, []string{"https://example.com/v1/users"}},
		{"any scheme", "all://h.test/", []string{"http://h.test", "https://h.test/"}, []string{"https://h.test:80/"}},
		{"a port", "http://h.test:8080/", []string{"http://h.test:8080/"}, []string{"http://h.test/"}},
		{"an address", "http://[::1]:8080/", []string{"http://[::1]:8080/"}, []string{"http://[::2]:8080/"}},
		{"any host has any port", "http://*/a", []string{"http://h.test:8080/a"}, []string{"https://h.test/a"}},
		{"parameters have to be there", "/s?q=tea&q=milk&n=", []string{"http://h.test/s?n=&q=milk&q=tea&x=1"}, []string{"http://h.test/s?q=tea&n=", "http://h.test/s"}},
		{"escapes are read", "/a b/c%2fd/%7Ee", []string{"http://h.test/a%20b/c%2Fd/~e"}, []string{"http://h.test/a%20b/c/d/~e"}},
		{"signs of expressions are signs", "/a.b(c)+", []string{"http://h.test/a.b(c)+"}, []string{"http://h.test/aXb(c)+"}},
		{"everything", "*", []string{"http://h.test:81/a?b"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			mock := parleytest.NewMock(t)
			mock.On("GET", c.pattern).Reply(parleytest.Status(204))
			mock.On("GET", "*").Reply(parleytest.Status(404)).Optional()
			client := mock.Client()
			for _, u := range c.fits {
				resp, err := client.Get(t.Context(), u)
				require.NoError(t, err, u)
				require.Equal(t, 204, resp.StatusCode, u)
			}
			for _, u := range c.misses {
				resp, err := client.Get(t.Context(), u)
				require.NoError(t, err, u)
				require.Equal(t, 404, resp.StatusCode, u)
			}
		})
	}
}

func TestMock_aMalformedPatternEndsTheTest(t *testing.T) {
	t.Parallel()
	for _, pattern := range []string{"", "users", "ftp://h.test/", "https://", "https://u@h.test/", "/a#b", "/{", "/{}", "/{a}/{a}", "/?%zz"} {
		all, fatal := reports(t, func(tb testing.TB) { parleytest.NewMock(tb).On("GET", pattern) })
		require.True(t, fatal, pattern)
		require.Len(t, all, 1, pattern)
		require.Contains(t, all[0], fmt.Sprintf("the pattern %q", pattern))
	}
}

func TestMock_valuesOfPlaceholders(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	route := mock.On("GET", "/users/{id}/{rest...}").Reply(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.PathValue("id")+"|"+r.PathValue("rest"))
	}))
	resp, err := mock.Client(parley.WithBaseURL("http://h.test")).Get(t.Context(), "users/{id}/a/b", parley.WithPath("id", "x/y %"))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "x/y %|a/b", text)
	require.Equal(t, map[string]string{"id": "x/y %", "rest": "a/b"}, route.Calls()[0].Values)
}

func TestMock_theFirstRouteThatFitsTakesTheRequest(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	mock.On("POST", "/").WithJSON(map[string]any{"n": 1}).Reply(parleytest.Text(200, "one"))
	mock.On("POST", "/").Times(2).Reply(parleytest.Text(200, "first"), parleytest.Text(200, "second"))
	mock.On("*", "*").Reply(parleytest.Text(200, "rest"))
	client := mock.Client(parley.WithBaseURL("http://h.test"))
	var got []string
	for _, body := range []string{"x", `{"n": 1.0}`, "x", "x", "x"} {
		resp, err := client.Post(t.Context(), "", parley.WithText(body))
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		got = append(got, text)
	}
	require.Equal(t, []string{"first", "one", "second", "rest", "rest"}, got)
	require.Len(t, mock.Calls(), 5)
}

func TestMock_theLastAnswerRepeats(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	route := mock.On("GET", "/").Reply(parleytest.Status(503), parleytest.Fail(parley.ErrConnect), parleytest.Status(200))
	client := mock.Client(parley.WithBaseURL("http://h.test"))
	for _, want := range []int{503, 0, 200, 200} {
		resp, err := client.Get(t.Context(), "")
		if want == 0 {
			require.ErrorIs(t, err, parley.ErrConnect)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, want, resp.StatusCode)
	}
	require.Equal(t, 4, route.Count())
}

func TestMock_explainsTheNearestMiss(t *testing.T) {
	t.Parallel()
	routes := func(mock *parleytest.Mock) {
		mock.On("DELETE", "https://other.test/").Optional()
		mock.On("POST", "https://h.test/users/{id}").
			WithHeader("X-Kind", "a").WithHeader("Authorization", "Bearer right").WithoutHeader("X-Debug").WithQuery("page", "1").
			WithJSONPart(map[string]any{"items": []any{map[string]any{"name": "tea", "n": 1}}}).Optional()
	}
	good := []parley.RequestOption{
		parley.WithHeader("X-Kind", "a"), parley.WithBearerToken("right"), parley.WithQuery("page", "1"),
		parley.WithJSON(map[string]any{"items": []any{map[string]any{"name": "tea", "n": 1, "more": true}}, "x": nil}),
	}
	for _, c := range []struct {
		name, method, url string
		opts              []parley.RequestOption
		says              string // "": it fits
	}{
		{"nothing", "POST", "https://h.test/users/1", nil, ""},
		{"the method", "PUT", "https://h.test/users/1", nil, "the method is PUT, should be POST"},
		{"the path", "POST", "https://h.test/user/1", nil, "the path is /user/1, should be /users/{id}"},
		{"the origin", "POST", "http://h.test/users/1", nil, "the origin is http://h.test, should be https://h.test"},
		{"a header", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithHeader("X-Kind", "b")}, `the header X-Kind is "b", should be "a"`},
		{"a header that is missing", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithoutHeader("X-Kind")}, "the header X-Kind is missing"},
		{"a header too many", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithHeader("X-Debug", "1")}, "the header X-Debug should not be there"},
		{"a credential, without showing it", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithBearerToken("planted")}, "the header Authorization is another"},
		{"a parameter", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithQuery("page", "2")}, `the parameter page is "2", should be "1"`},
		{"a place in the JSON", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithJSON(map[string]any{"items": []any{map[string]any{"name": "milk", "n": 1}}})},
			`in the JSON .items[0].name is "milk", should be "tea"`},
		{"the size of a list", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithJSON(map[string]any{"items": []any{}})}, "in the JSON .items has 0 elements, should have 1"},
		{"what is missing in the JSON", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithJSON(map[string]any{})}, "in the JSON .items is missing"},
		{"a body that is no JSON", "POST", "https://h.test/users/1", []parley.RequestOption{parley.WithText("tea")}, `the body is no JSON (invalid character 'e' in literal true (expecting 'r')): "tea"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var err error
			all, _ := reports(t, func(tb testing.TB) {
				mock := parleytest.NewMock(tb)
				routes(mock)
				_, err = mock.Client().Request(t.Context(), c.method, c.url, append(good[:len(good):len(good)], c.opts...)...)
			})
			if c.says == "" {
				require.NoError(t, err)
				require.Empty(t, all)
				return
			}
			require.ErrorIs(t, err, parleytest.ErrUnexpected)
			var e *parley.Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, parley.NotSent, e.Sent)
			require.Contains(t, err.Error(), "the nearest route is POST https://h.test/users/{id} (mock_test.go:")
			require.Contains(t, err.Error(), c.says)
			require.Len(t, all, 1)
			require.Contains(t, all[0], c.says, "at the end of the test too")
			for _, secret := range []string{"planted", "right"} {
				require.NotContains(t, all[0]+err.Error(), secret)
			}
		})
	}
}

func TestMock_conditionsOnBodies(t *testing.T) {
	t.Parallel()
	form := url.Values{"a": {"1", "2"}, "b": {"x y"}}
	for _, c := range []struct {
		name string
		set  func(*parleytest.Route)
		good string
		bad  map[string]string // and what is said of it
	}{
		{"JSON", func(r *parleytest.Route) {
			r.WithJSON(json.RawMessage(`{"a": [1, 2.5, "x", null, true], "big": 9007199254740993}`))
		},
			`{"big":9007199254740993,"a":[1.0,25e-1,"x",null,true]}`,
			map[string]string{
				`{"a":[1,2.5,"x",null,true],"big":9007199254740992}`:  ".big is 9007199254740992, should be 9007199254740993",
				`{"a":[1,2.5,"x",null,false],"big":9007199254740993}`: ".a[4] is false, should be true",
				`{"a":[1,2.5,"x",[],true],"big":9007199254740993}`:    ".a[3] is [], should be null",
				`{"a":{},"big":1}`: ".a is {}, should be [1,2.5,",
				`{"a":[1,2.5,"x",null,true],"big":9007199254740993,"c":"x"}`: ".c should not be there",
				`{} {}`: "more follows the value",
				``:      "the body is no JSON (EOF)",
			}},
		{"a form", func(r *parleytest.Route) { r.WithForm(form) }, "b=x+y&a=2&a=1",
			map[string]string{"b=x+y&a=2": `the field a is "2", should be "1"`, "a=1&a=2&b=x+y&c=": "the field c is there once, should be 0 times", "%zz": "the body is no form"}},
		{"its bytes", func(r *parleytest.Route) { r.WithBody("tea") }, "tea", map[string]string{"tea ": `the body is "tea ", should be "tea"`}},
		{"some text in it", func(r *parleytest.Route) { r.WithBodyContaining("tea") }, "a tea", map[string]string{"coffee": `the body has no "tea" in it: "coffee"`}},
		{"a function", func(r *parleytest.Route) {
			r.Matching("an even length", func(c *parleytest.Call) bool { return len(c.Body)%2 == 0 })
		}, "even", map[string]string{"odd": "it does not have: an even length"}},
		{"not more than is kept", func(r *parleytest.Route) { r.WithBodyContaining("x") }, "x",
			map[string]string{strings.Repeat("x", parleytest.MaxCallBytes+1): "the body is longer than 1048576 bytes"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, _ = reports(t, func(tb testing.TB) {
				mock := parleytest.NewMock(tb)
				c.set(mock.On("POST", "*"))
				client := mock.Client()
				for _, streamed := range []bool{false, true} {
					send := func(s string) error {
						opt := parley.WithText(s)
						if streamed {
							opt = parley.WithReader(io.MultiReader(strings.NewReader(s)))
						}
						_, err := client.Post(t.Context(), "http://h.test/", opt)
						return err
					}
					require.NoError(t, send(c.good))
					for bad, says := range c.bad {
						err := send(bad)
						require.ErrorIs(t, err, parleytest.ErrUnexpected)
						require.Contains(t, err.Error(), says)
					}
				}
			})
		})
	}
}

func TestMock_expectationsAreReported(t *testing.T) {
	t.Parallel()
	get := func(mock *parleytest.Mock, n int) {
		for range n {
			_, err := mock.Client().Get(t.Context(), "http://h.test/")
			require.NoError(t, err)
		}
	}
	t.Run("a route that was never called", func(t *testing.T) {
		reported(t, func(tb testing.TB) { parleytest.NewMock(tb).On("GET", "/a") }, "GET /a (mock_test.go:", "was never called; say Optional")
	})
	t.Run("a route that was called too seldom", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			mock := parleytest.NewMock(tb)
			mock.On("GET", "/").Times(3)
			get(mock, 2)
		}, "was called 2 times, should be 3 times")
	})
	t.Run("a route that is called too often", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			mock := parleytest.NewMock(tb)
			mock.On("GET", "/").Times(1)
			get(mock, 1)
			_, err := mock.Client().Get(t.Context(), "http://h.test/")
			require.ErrorIs(t, err, parleytest.ErrUnexpected)
		}, "unexpected request: GET http://h.test/", "it has been called once, as often as it may be")
	})
	t.Run("a route that must not be called", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			mock := parleytest.NewMock(tb)
			mock.On("GET", "/").Times(0)
			_, err := mock.Client().Get(t.Context(), "http://h.test/")
			require.ErrorIs(t, err, parleytest.ErrUnexpected)
		}, "it is never to be called")
	})
	t.Run("a request to a mock without routes", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			_, err := parleytest.NewMock(tb).Client().Get(t.Context(), "http://h.test/?token=planted")
			require.ErrorIs(t, err, parleytest.ErrUnexpected)
			require.NotContains(t, err.Error(), "planted")
		}, "GET http://h.test/: the mock has no routes", "nothing goes to the network")
	})
	t.Run("a handler that panics", func(t *testing.T) {
		reported(t, func(tb testing.TB) {
			mock := parleytest.NewMock(tb)
			mock.On("GET", "*").Reply(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("tea") }))
			_, err := mock.Client().Get(t.Context(), "http://h.test/a")
			require.ErrorIs(t, err, parley.ErrPeerClosed)
			require.ErrorAs(t, err, new(*parley.HandlerPanic))
		}, "the handler panicked: GET /a: tea", "mock_test.go:")
	})
	t.Run("many unexpected requests are counted", func(t *testing.T) {
		all, _ := reports(t, func(tb testing.TB) {
			client := parleytest.NewMock(tb).Client()
			for range 25 {
				_, err := client.Get(t.Context(), "http://h.test/")
				require.Error(t, err)
			}
		})
		require.Len(t, all, 11)
		require.Contains(t, all[10], "and 15 more")
	})
	t.Run("nothing, if all is well", func(t *testing.T) {
		all, _ := reports(t, func(tb testing.TB) {
			mock := parleytest.NewMock(tb)
			mock.On("GET", "/").Times(2)
			mock.On("GET", "/never").Times(5).Optional()
			mock.On("GET", "/refused").Times(0)
			get(mock, 2)
		})
		require.Empty(t, all)
	})
	for name, misuse := range map[string]func(*parleytest.Mock){
		"a negative number of calls":  func(m *parleytest.Mock) { m.On("GET", "/").Times(-1) },
		"an answer that is nil":       func(m *parleytest.Mock) { m.On("GET", "/").Reply(nil) },
		"JSON that cannot be encoded": func(m *parleytest.Mock) { m.On("GET", "/").WithJSON(func() {}) },
		"a session that cannot be":    func(m *parleytest.Mock) { m.Client(parley.WithBaseURL("::")) },
	} {
		t.Run(name, func(t *testing.T) {
			_, fatal := reports(t, func(tb testing.TB) { misuse(parleytest.NewMock(tb)) })
			require.True(t, fatal)
		})
	}
}

func TestMock_historyHasCopiesOfRequests(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	seen := mock.On("*", "/a").Reply(
		parleytest.Status(200),
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202) }), // without reading
		parleytest.Echo(),
	)
	mock.On("GET", "/b")
	client := mock.Client(parley.WithBaseURL("http://h.test"))
	header := http.Header{"X-A": {"1", "2"}}
	for _, opt := range []parley.RequestOption{
		parley.WithJSON(map[string]int{"n": 1}), parley.WithText("known length"), parley.WithReader(io.MultiReader(strings.NewReader("in chunks"))),
	} {
		_, err := client.Put(t.Context(), "a", opt, parley.WithHeaders(header), parley.WithQuery("q", "x"), parley.WithHost("other.test"))
		require.NoError(t, err)
	}
	header["X-A"][0] = "changed"
	_, err := client.Get(t.Context(), "b")
	require.NoError(t, err)

	calls := seen.Calls()
	require.Len(t, calls, 3)
	require.Len(t, mock.Calls(), 4)
	require.Equal(t, "PUT", calls[0].Method)
	require.Equal(t, "http://h.test/a?q=x", calls[0].URL.String())
	require.Equal(t, []string{"1", "2"}, calls[0].Header["X-A"])
	require.Equal(t, "other.test", calls[0].Header.Get("Host"))
	require.Equal(t, "* /a", calls[0].Route)
	var got map[string]int
	require.NoError(t, calls[0].JSON(&got))
	require.Equal(t, map[string]int{"n": 1}, got)
	require.Equal(t, "known length", string(calls[1].Body))
	require.Equal(t, "in chunks", string(calls[2].Body))
	calls[1].Body[0] = 'X'
	require.Equal(t, "known length", string(seen.Calls()[1].Body), "what is given is a copy")
}

func TestMock_historyIsBounded(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	route := mock.On("*", "*")
	client := mock.Client()
	large := strings.Repeat("x", parleytest.MaxCallBytes+10)
	_, err := client.Post(t.Context(), "http://h.test/large", parley.WithText(large))
	require.NoError(t, err)
	call := route.Calls()[0]
	require.True(t, call.Truncated)
	require.Len(t, call.Body, parleytest.MaxCallBytes)
	for range parleytest.MaxCalls {
		_, err := client.Get(t.Context(), "http://h.test/")
		require.NoError(t, err)
	}
	require.Len(t, mock.Calls(), parleytest.MaxCalls)
	require.Equal(t, "GET", mock.Calls()[0].Method, "the oldest is forgotten")
	require.Equal(t, parleytest.MaxCalls+1, route.Count(), "but counted")
}

func TestMock_bodiesOfRequestsThatFail(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	mock.On("POST", "/").Reply(parleytest.Fail(parley.ErrConnect), parleytest.Status(200))
	opened := 0
	body := bodyFunc(func() (io.ReadCloser, error) {
		opened++
		return io.NopCloser(strings.NewReader("content")), nil
	})
	client := mock.Client(parley.WithBaseURL("http://h.test"))
	_, err := client.Post(t.Context(), "", parley.WithBody(body))
	require.ErrorIs(t, err, parley.ErrConnect)
	require.Zero(t, opened, "a request that was not sent has not touched its body")
	_, err = client.Post(t.Context(), "", parley.WithBody(body))
	require.NoError(t, err)
	require.Equal(t, 1, opened)

	broken := errors.New("broken source")
	_, err = client.Post(t.Context(), "", parley.WithBody(bodyFunc(func() (io.ReadCloser, error) { return nil, broken })))
	require.ErrorIs(t, err, broken)
}

// bodyFunc is a body of seven bytes.
type bodyFunc func() (io.ReadCloser, error)

func (f bodyFunc) Size() int64                  { return 7 }
func (f bodyFunc) ContentType() string          { return "" }
func (f bodyFunc) Replayable() bool             { return true }
func (f bodyFunc) Open() (io.ReadCloser, error) { return f() }

func TestMock_passesThrough(t *testing.T) {
	t.Parallel()
	real := parleytest.NewServer(t, parleytest.Echo())
	mock := parleytest.NewMock(t)
	mock.On("GET", "/mocked").Reply(parleytest.Text(200, "mocked"))
	mock.On("POST", real.URL+"/first").WithBodyContaining("one").PassThrough(nil)
	all := mock.On("*", real.URL+"/*").PassThrough(nil)
	client := mock.Client(parley.WithBaseURL(real.URL))
	for _, streamed := range []bool{false, true} {
		for _, path := range []string{"first", "second"} {
			opt := parley.WithText("one and all")
			if streamed {
				opt = parley.WithReader(io.MultiReader(strings.NewReader("one and all")))
			}
			resp, err := client.Post(t.Context(), path, opt)
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "one and all", text)
		}
	}
	resp, err := client.Get(t.Context(), "mocked")
	require.NoError(t, err)
	require.Equal(t, "mocked", string(must(resp.Bytes())))
	require.Len(t, real.Calls(), 4)
	require.Equal(t, "one and all", string(all.Calls()[1].Body), "what passes is in the history")
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMock_underASession(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	mock.On("POST", "https://h.test/login").WithForm(url.Values{"user": {"ann"}}).
		Reply(parleytest.WithHeader("Set-Cookie", "sid=1", parleytest.WithHeader("Location", "/home", parleytest.Status(303))))
	mock.On("GET", "https://h.test/home").WithHeader("Cookie", "sid=1").Reply(parleytest.JSON(200, map[string]string{"name": "Ann"}))
	home, err := parley.As[map[string]string](mock.Client(parley.WithBaseURL("https://h.test")).
		Post(t.Context(), "login", parley.WithForm(map[string]string{"user": "ann"})))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"name": "Ann"}, home)
}

func TestMock_asAMountAndAsARoundTripper(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	mock.On("GET", "https://billing.test/*").Reply(parleytest.Text(200, "mounted"))
	server := parleytest.NewServer(t, parleytest.Text(200, "real"), parley.WithMount("https://billing.test", mock))
	for u, want := range map[string]string{"": "real", "https://billing.test/x": "mounted"} {
		resp, err := server.Client.Get(t.Context(), u)
		require.NoError(t, err)
		require.Equal(t, want, string(must(resp.Bytes())))
	}
	hc := &http.Client{Transport: parley.AsRoundTripper(mock)}
	resp, err := hc.Get("https://billing.test/y")
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "mounted", string(must(io.ReadAll(resp.Body))))
}

func TestMock_answers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.json")
	require.NoError(t, os.WriteFile(path, []byte(`{"file":true}`), 0o600))
	for _, c := range []struct {
		name   string
		answer http.Handler
		status int
		typ    string
		body   string
	}{
		{"a status", parleytest.Status(204), 204, "", ""},
		{"text", parleytest.Text(418, "tea"), 418, "text/plain; charset=utf-8", "tea"},
		{"JSON", parleytest.JSON(201, []int{1}), 201, "application/json", "[1]"},
		{"bytes", parleytest.Bytes(200, "image/png", []byte{1, 2}), 200, "image/png", "\x01\x02"},
		{"a file", parleytest.File(path), 200, "application/json", `{"file":true}`},
		{"the request", parleytest.Echo(), 200, "text/plain", "sent"},
		{"several, but none", parleytest.Sequence(), 200, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			mock := parleytest.NewMock(t)
			mock.On("POST", "*").Reply(c.answer)
			for _, client := range []*parley.Client{mock.Client(parley.WithBaseURL("http://h.test")), parleytest.NewServer(t, c.answer).Client} {
				resp, err := client.Post(t.Context(), "", parley.WithBytes([]byte("sent")), parley.WithHeader("Content-Type", "text/plain"))
				require.NoError(t, err)
				require.Equal(t, c.status, resp.StatusCode)
				require.Equal(t, c.typ, resp.Header.Get("Content-Type"))
				require.Equal(t, c.body, string(must(resp.Bytes())))
				if c.status != 204 {
					require.Equal(t, int64(len(c.body)), resp.ContentLength)
				}
			}
		})
	}
	t.Run("those that cannot be given", func(t *testing.T) {
		for _, h := range []http.Handler{parleytest.JSON(200, func() {}), parleytest.Status(100), parleytest.File(path + "x"), parleytest.File(filepath.Dir(path))} {
			mock := parleytest.NewMock(t)
			mock.On("GET", "*").Reply(h)
			_, err := mock.Client().Get(t.Context(), "http://h.test/")
			require.Error(t, err)
			resp, err := parleytest.NewServer(t, h).Client.Get(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, 500, resp.StatusCode)
		}
	})
}

func TestMock_manyAtOnce(t *testing.T) {
	t.Parallel()
	mock := parleytest.NewMock(t)
	limited := mock.On("POST", "/{n}").WithJSONPart(map[string]any{"kind": "a"}).Times(50).Reply(parleytest.Status(200), parleytest.Status(201))
	rest := mock.On("POST", "*").Reply(parleytest.Echo())
	client := mock.Client(parley.WithBaseURL("http://h.test"))
	var wg sync.WaitGroup
	for n := range 100 {
		wg.Go(func() {
			resp, err := client.Post(context.Background(), fmt.Sprint(n), parley.WithJSON(map[string]any{"kind": "a", "n": n}))
			if err != nil {
				t.Error(err)
				return
			}
			resp.Close()
			_ = mock.Calls()
		})
	}
	wg.Wait()
	require.Equal(t, 50, limited.Count())
	require.Equal(t, 50, rest.Count())
	require.Len(t, mock.Calls(), 100)
}
