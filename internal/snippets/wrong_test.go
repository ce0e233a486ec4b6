package snippets_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/snippets"
	"github.com/seed-0474a412/parley/parleytest"
)

const api = "http://api.example.com"

// wrong is something that goes wrong, and the kind of its error.
type wrong struct {
	name string
	kind error // nil: none
	make func(t *testing.T) error
}

// inMemory makes a session over a pool whose server needs no socket.
func inMemory(t *testing.T, h http.Handler, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	return parleytest.NewClient(t, append([]parley.ClientOption{parley.WithBaseURL(api), parley.WithDialer(parleytest.InMemory(t, h))}, opts...)...)
}

// bubble runs a case in which time passes.
func bubble(f func(t *testing.T) error) func(t *testing.T) error {
	return func(t *testing.T) (err error) {
		synctest.Test(t, func(t *testing.T) { err = f(t) })
		return err
	}
}

// get gets a path of a session over a handler.
func get(h http.Handler, opts ...parley.ClientOption) func(t *testing.T) error {
	return bubble(func(t *testing.T) error {
		_, err := inMemory(t, h, opts...).Get(t.Context(), "users/1")
		return err
	})
}

// faulty gets a path of a server that plays scripts.
func faulty(script parleytest.FaultScript, opts ...parley.ClientOption) func(t *testing.T) error {
	return func(t *testing.T) error {
		server := parleytest.NewFaultServer(t, script)
		opts := append([]parley.ClientOption{parley.WithBaseURL(api), parley.WithResolve("api.example.com:80", server.Addr())}, opts...)
		_, err := parleytest.NewClient(t, opts...).Get(t.Context(), "users/1")
		return err
	}
}

// faultyTLS gets a path of a server with something wrong in its TLS.
func faultyTLS(fault parleytest.TLSFault, opts ...parley.ClientOption) func(t *testing.T) error {
	return func(t *testing.T) error {
		_, err := parleytest.NewTLSFaultServer(t, fault, parleytest.Respond(200, "")).Client(opts...).Get(t.Context(), "users/1")
		return err
	}
}

func redirect(to string) http.Handler { return http.RedirectHandler(to, http.StatusFound) }

func withHeader(name, value string, h http.Handler) http.Handler {
	return parleytest.WithHeader(name, value, h)
}

var silent = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client has gone
	<-r.Context().Done()
})

// resolver answers every question with one error.
type resolver struct{ err error }

func (r resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	return nil, r.err
}

var timeouts = []wrong{
	{"no connection comes free", parley.ErrPoolTimeout, bubble(func(t *testing.T) error {
		client := inMemory(t, parleytest.Stall(1, parleytest.Text(200, "long")), parley.WithPoolLimits(parley.PoolLimits{Hard: 1}))
		held, err := client.Stream(t.Context(), "GET", "log")
		require.NoError(t, err)
		defer held.Close()
		_, err = client.Get(t.Context(), "users/1")
		return err
	})},
	{"the way to the server is slow", parley.ErrConnectTimeout, bubble(func(t *testing.T) error {
		client := parleytest.NewClient(t, parley.WithDialer(parley.DialerFunc(func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})))
		_, err := client.Get(t.Context(), api+"/users/1")
		return err
	})},
	{"the server takes no bytes", parley.ErrWriteTimeout, bubble(func(t *testing.T) error {
		mock := parleytest.NewMock(t)
		mock.On("POST", api+"/users").Reply(parleytest.Timeout(parley.PhaseWrite))
		_, err := mock.Client().Post(t.Context(), api+"/users", parley.WithText("x"))
		return err
	})},
	{"the server does not answer", parley.ErrResponseTimeout, get(silent)},
	{"the body stalls", parley.ErrReadTimeout, get(parleytest.Stall(3, parleytest.Text(200, "whole")))},
	{"the body crawls", parley.ErrTooSlow, get(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write([]byte("x")); err != nil || http.NewResponseController(w).Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-time.After(time.Second):
			}
		}
	}), parley.WithMinThroughput(1<<10, 10*time.Second))},
	{"the call takes too long", parley.ErrTotalTimeout, get(silent, parley.WithTimeout(10*time.Second))},
	{"the context allows no more", context.DeadlineExceeded, bubble(func(t *testing.T) error {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err := inMemory(t, silent).Get(ctx, "users/1")
		return err
	})},
	{"the context is cancelled", context.Canceled, bubble(func(t *testing.T) error {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := inMemory(t, silent).Get(ctx, "users/1")
		return err
	})},
}

var network = []wrong{
	{"nobody listens", parley.ErrConnect, func(t *testing.T) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		_, err = parleytest.NewClient(t, parley.WithResolve("api.example.com:80", l.Addr().String())).Get(t.Context(), api+"/users/1")
		return err
	}},
	{"the name does not exist", parley.ErrConnect, func(t *testing.T) error {
		unknown := resolver{&net.DNSError{Err: "no such host", Name: "api.example.com", IsNotFound: true}}
		_, err := parleytest.NewClient(t, parley.WithResolver(unknown)).Get(t.Context(), api+"/users/1")
		return err
	}},
	{"the address is refused", parley.ErrAddressRefused, faulty(parleytest.Respond(200, ""), parley.WithDialGuard(parley.PublicAddressesOnly()))},
	{"the server closes instead of answering", parley.ErrPeerClosed, faulty(parleytest.EachRequest(parleytest.SayAndClose("")))},
	{"the body is cut", parley.ErrRead, faulty(parleytest.EachRequest(parleytest.Steps(parleytest.RespondWithLength(200, 100, "half"), parleytest.SayAndClose(""))))},
	{"the connection breaks as the request is sent", parley.ErrWrite, func(t *testing.T) error {
		mock := parleytest.NewMock(t)
		mock.On("POST", api+"/users").Reply(parleytest.Fail(parley.ErrWrite))
		_, err := mock.Client().Post(t.Context(), api+"/users", parley.WithText("x"))
		return err
	}},
	{"a connection that is gone", parley.ErrConnClosed, bubble(func(t *testing.T) error {
		client := inMemory(t, parleytest.Status(200))
		conn, err := client.Open(t.Context(), "")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		req, err := client.NewRequest("GET", "users/1")
		require.NoError(t, err)
		_, err = conn.Send(t.Context(), req)
		return err
	})},
	{"an answer that is no HTTP", parley.ErrRemoteProtocol, faulty(parleytest.EachRequest(parleytest.SayAndClose("SSH-2.0-OpenSSH_9.2p1\r\n\r\n")))},
	{"a body that is shorter than it said", parley.ErrLocalProtocol, bubble(func(t *testing.T) error {
		_, err := inMemory(t, parleytest.Echo()).Post(t.Context(), "users", parley.WithReader(iotest.OneByteReader(strings.NewReader("four"))), parley.WithHeader("Content-Length", "10"))
		return err
	})},
	{"a line end in a header", parley.ErrInvalidHeader, get(parleytest.Status(200), parley.WithRequestHook(func(_ context.Context, req *parley.Request) error {
		req.Header.Set("X-Name", "a\r\nb")
		return nil
	}))},
	{"a server that knows no HTTP/2", parley.ErrUnsupportedProtocol, faultyTLS(parleytest.TLSGood, parley.WithHTTP2(parley.HTTP2Required))},
	{"a closed session", parley.ErrClientClosed, func(t *testing.T) error {
		client := parleytest.NewClient(t)
		require.NoError(t, client.Close())
		_, err := client.Get(t.Context(), api+"/users/1")
		return err
	}},
}

// through gets an https URL by a proxy with an answer of its own.
func through(answer string) func(t *testing.T) error {
	return func(t *testing.T) error {
		proxy := parleytest.NewFaultServer(t, parleytest.EachRequest(parleytest.SayAndClose(answer)))
		client := parleytest.NewClient(t, parley.WithProxy("http://proxy.example.com:3128"), parley.WithResolve("proxy.example.com:3128", proxy.Addr()))
		_, err := client.Get(t.Context(), "https://api.example.com/users/1")
		return err
	}
}

var tlsAndProxies = []wrong{
	{"an expired certificate", parley.ErrTLS, faultyTLS(parleytest.TLSExpired)},
	{"a certificate that is not valid yet", parley.ErrTLS, faultyTLS(parleytest.TLSNotYetValid)},
	{"a certificate for another name", parley.ErrTLS, faultyTLS(parleytest.TLSWrongName)},
	{"an unknown authority", parley.ErrTLS, faultyTLS(parleytest.TLSUnknownAuthority)},
	{"an old version of TLS", parley.ErrTLS, faultyTLS(parleytest.TLSOldVersion)},
	{"https at a port for http", parley.ErrTLS, faultyTLS(parleytest.TLSGarbage)},
	{"other keys than the pinned ones", parley.ErrPublicKeyPin, faultyTLS(parleytest.TLSGood, parley.WithPublicKeyPins("sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="))},
	{"the proxy wants credentials", parley.ErrProxy, through("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")},
	{"the proxy cannot reach the server", parley.ErrProxy, through("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")},
	{"nobody listens at the proxy's address", parley.ErrProxy, func(t *testing.T) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		client := parleytest.NewClient(t, parley.WithProxy("http://proxy.example.com:3128"), parley.WithResolve("proxy.example.com:3128", l.Addr().String()))
		_, err = client.Get(t.Context(), "https://api.example.com/users/1")
		return err
	}},
}

// built gives the error of a request that cannot be made.
func built(ref string, opts ...parley.RequestOption) func(t *testing.T) error {
	return func(t *testing.T) error {
		_, err := parleytest.NewClient(t, parley.WithBaseURL(api+"/v1")).NewRequest("GET", ref, opts...)
		return err
	}
}

// kept gives what a jar with two cookies of a name says.
func kept(name string) func(t *testing.T) error {
	return func(t *testing.T) error {
		jar := parley.NewJar()
		for _, path := range []string{"/", "/a"} {
			require.NoError(t, jar.Set(&url.URL{Scheme: "https", Host: "example.com", Path: path}, &http.Cookie{Name: "sid", Value: "1", Path: path}))
		}
		_, err := jar.Get(name, "", "")
		return err
	}
}

var requests = []wrong{
	{"no base URL", parley.ErrInvalidURL, func(t *testing.T) error {
		_, err := parleytest.NewClient(t).Get(t.Context(), "users/1")
		return err
	}},
	{"a reference that climbs", parley.ErrInvalidURL, built("../admin")},
	{"a placeholder without a value", parley.ErrInvalidURL, built("{kind}/{id}", parley.WithPath("id", "7"))},
	{"an empty value of the path", parley.ErrInvalidURL, built("users/{id}", parley.WithPath("id", ""))},
	{"a scheme that is not spoken", parley.ErrUnsupportedProtocol, built("ftp://api.example.com/x")},
	{"redirects without end", parley.ErrTooManyRedirects, get(redirect("/again"))},
	{"a body that would go from https to http", parley.ErrInsecureRedirect, func(t *testing.T) error {
		client := parleytest.NewClient(t, parley.WithHandler(http.RedirectHandler(api+"/users", http.StatusTemporaryRedirect)))
		_, err := client.Post(t.Context(), "https://api.example.com/users", parley.WithText("x"))
		return err
	}},
	{"a redirect that the policy forbids", parley.ErrRedirectRefused, get(redirect("http://other.example/"), parley.WithRedirectPolicy(parley.SameHostRedirects()))},
	{"a reader that would have to be read again", parley.ErrBodyNotRewindable, bubble(func(t *testing.T) error {
		client := inMemory(t, http.RedirectHandler("/v2/users", http.StatusTemporaryRedirect))
		_, err := client.Post(t.Context(), "users", parley.WithReader(io.MultiReader(strings.NewReader("x"))))
		return err
	})},
	{"a source of tokens that fails", parley.ErrAuth, get(parleytest.Status(200), parley.WithAuth(parley.TokenAuth(func(context.Context) (parley.Token, error) {
		return parley.Token{}, errors.New("login server is down")
	})))},
	{"a cookie that is not there", parley.ErrNoCookie, kept("other")},
	{"two cookies of a name", parley.ErrAmbiguousCookie, kept("sid")},
	{"a cookie for a public suffix", parley.ErrInvalidCookie, func(*testing.T) error {
		return parley.NewJar().Set(&url.URL{Scheme: "https", Host: "example.co.uk"}, &http.Cookie{Name: "sid", Value: "1", Domain: "co.uk"})
	}},
}

// User is what answers are decoded into.
type User struct {
	ID int `json:"id"`
}

// as decodes the answer of a handler.
func as(h http.Handler, opts ...parley.ClientOption) func(t *testing.T) error {
	return bubble(func(t *testing.T) error {
		_, err := parley.As[User](inMemory(t, h, opts...).Get(t.Context(), "users/1"))
		return err
	})
}

var answers = []wrong{
	{"a status", nil, as(parleytest.Text(404, "no such user"))},
	{"malformed JSON", parley.ErrDecoding, as(parleytest.Bytes(200, "application/json", []byte(`{"id": 1`)))},
	{"JSON of another shape", parley.ErrDecoding, as(parleytest.JSON(200, map[string]string{"id": "one"}))},
	{"a page where JSON is expected", parley.ErrDecoding, as(parleytest.Bytes(200, "text/html", []byte("<p>log in")))},
	{"what is no gzip", parley.ErrDecoding, as(withHeader("Content-Encoding", "gzip", parleytest.Text(200, "plain")))},
	{"a body that is too large", parley.ErrBodyTooLarge, get(parleytest.Text(200, "twelve bytes"), parley.WithMaxBodyBytes(10))},
	{"another content than its digest says", parley.ErrIntegrity, get(parleytest.Text(200, "x"), parley.WithIntegrity("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"))},
	{"pages that go round", parley.ErrPageLoop, bubble(func(t *testing.T) (last error) {
		for _, err := range inMemory(t, withHeader("Link", `</users?page=1>; rel="next"`, parleytest.Text(200, ""))).Pages(t.Context(), "users?page=1") {
			last = err
		}
		return last
	})},
}

var retried = []wrong{
	{"tries are used up", parley.ErrResponseTimeout, get(silent, parley.WithRetry(parley.RetryPolicy{}))},
	{"a POST that may have been seen", parley.ErrResponseTimeout, bubble(func(t *testing.T) error {
		_, err := inMemory(t, silent, parley.WithRetry(parley.RetryPolicy{})).Post(t.Context(), "users", parley.WithText("x"))
		return err
	})},
	{"no time is left", parley.ErrTotalTimeout, get(silent, parley.WithRetry(parley.RetryPolicy{}), parley.WithTimeout(70*time.Second))},
	{"the budget is used up", parley.ErrResponseTimeout, func(t *testing.T) error {
		budget := &parley.RetryBudget{Share: -1, Burst: 1}
		return get(silent, parley.WithRetry(parley.RetryPolicy{Budget: budget, Tries: 5}))(t)
	}},
}

// volatile is what differs from run to run in a text, and what stands for it on the page.
var volatile = []struct {
	found *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+ does`), "api.example.com:443 does"},
	{regexp.MustCompile(`snippets_test\.`), "main."},
	{regexp.MustCompile(`https://127\.0\.0\.1:\d+`), "https://api.example.com"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "192.0.2.7:80"},
	{regexp.MustCompile(`127\.0\.0\.1`), "api.example.com"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`), "2026-01-31 12:00:00"},
	{regexp.MustCompile(`sha256/[\w+/]{43}=`), "sha256/3XmP...="},
}

// TestWhenItGoesWrong_theTextsAreTrue makes everything go wrong that the page tells of, and
// compares the texts of the errors: each stands on the page, and no other does.
func TestWhenItGoesWrong_theTextsAreTrue(t *testing.T) {
	const path = "../../docs/when-it-goes-wrong.md"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	parsed, err := snippets.ParseColumns(path, string(page), "the error says")
	require.NoError(t, err)
	shown := map[string]bool{}
	for _, s := range parsed.Snippets {
		shown[s.Code] = true
	}
	for _, c := range slices.Concat(timeouts, network, tlsAndProxies, requests, answers, retried) {
		t.Run(c.name, func(t *testing.T) {
			err := c.make(t)
			require.Error(t, err)
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
			}
			text := err.Error()
			for _, v := range volatile {
				text = v.found.ReplaceAllString(text, v.shown)
			}
			assert.True(t, shown[text], "the page does not have this text: %s", text)
			delete(shown, text)
		})
	}
	require.Empty(t, shown, "the page has texts that nothing has")
}
