package integration

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// wsEcho is a server that sends back each message of a WebSocket at /echo, until the
// client closes it. What else is asked for is shown to extra first.
func wsEcho(extra http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", extra)
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Auth", r.Header.Get("Authorization"))
		w.Header().Set("X-Cookie", r.Header.Get("Cookie"))
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			return // it has told the client
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		for {
			kind, message, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	})
	return mux
}

// converse opens a WebSocket over the session, sends messages of all kinds and sizes and
// gets them back, and closes it. It gives the answer to the handshake.
func converse(ctx context.Context, c *parley.Client, url string) (*http.Response, error) {
	handshake, cancel := context.WithCancel(ctx)
	ws, answer, err := websocket.Dial(handshake, url, &websocket.DialOptions{
		HTTPClient: c.HTTPClient(), Subprotocols: []string{"echo"}, CompressionMode: websocket.CompressionContextTakeover,
	})
	cancel() // a context that ends after the handshake does not concern the connection
	if err != nil {
		return answer, err
	}
	defer ws.CloseNow()
	ws.SetReadLimit(-1)
	for _, text := range []string{"", "tea", content(200_000)} {
		var got string
		if err := wsjson.Write(ctx, ws, text); err != nil {
			return answer, err
		}
		if err := wsjson.Read(ctx, ws, &got); err != nil {
			return answer, err
		}
		if got != text {
			return answer, io.ErrUnexpectedEOF
		}
	}
	var ping errgroup.Group
	ping.Go(func() error { // the answer is taken up by a reader
		_, _, err := ws.Read(ctx)
		return err
	})
	if err := ws.Ping(ctx); err != nil {
		return answer, err
	}
	if err := ws.Write(ctx, websocket.MessageBinary, []byte{0}); err != nil {
		return answer, err
	}
	if err := ping.Wait(); err != nil {
		return answer, err
	}
	return answer, ws.Close(websocket.StatusNormalClosure, "done")
}

func TestWebSocket(t *testing.T) {
	s := httptest.NewServer(wsEcho(http.NotFoundHandler()))
	t.Cleanup(s.Close)
	c := session(t, parley.WithBaseURL(s.URL), parley.WithBasicAuth(user, password), parley.WithPhaseTimeout(parley.NoTimeout))
	for range 2 { // the second one after the first has given its connection back
		answer, err := converse(t.Context(), c, s.URL+"/echo")
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
		require.Equal(t, "Basic QWxhZGRpbjpvcGVuOiBzZXNhbWU=", answer.Header.Get("X-Auth"))
		require.Equal(t, "echo", answer.Header.Get("Sec-Websocket-Protocol"))
	}
}

// The handler can be tried without a server.
func TestWebSocketWithoutSockets(t *testing.T) {
	c := session(t, parley.WithHandler(wsEcho(http.NotFoundHandler())), parley.WithBasicAuth(user, password), parley.WithPhaseTimeout(parley.NoTimeout))
	for _, url := range []string{"ws://a.test/echo", "wss://a.test/echo"} {
		answer, err := converse(t.Context(), c, url)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
		require.Equal(t, "echo", answer.Header.Get("Sec-Websocket-Protocol"))
	}
	var all errgroup.Group
	for range 12 {
		all.Go(func() error {
			_, err := converse(t.Context(), c, "ws://a.test/echo")
			return err
		})
	}
	require.NoError(t, all.Wait())
}

func TestWebSocketsAtOnce(t *testing.T) {
	s := httptest.NewServer(wsEcho(http.NotFoundHandler()))
	t.Cleanup(s.Close)
	c := session(t, parley.WithPoolLimits(parley.PoolLimits{Soft: 2, Hard: 4}))
	var all errgroup.Group
	for range 12 { // three times as many as there are connections: each gives its own back
		all.Go(func() error {
			_, err := converse(t.Context(), c, strings.Replace(s.URL, "http", "ws", 1)+"/echo")
			return err
		})
	}
	require.NoError(t, all.Wait())
}

func TestWebSocketRedirected(t *testing.T) {
	there := httptest.NewServer(wsEcho(http.NotFoundHandler()))
	t.Cleanup(there.Close)
	here := httptest.NewServer(wsEcho(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "id", Value: "7"})
		switch r.URL.Path {
		case "/within":
			http.Redirect(w, r, "/echo", http.StatusFound)
		case "/away": // also by the scheme of WebSockets
			http.Redirect(w, r, strings.Replace(there.URL, "http", "ws", 1)+"/echo", http.StatusTemporaryRedirect)
		}
	})))
	t.Cleanup(here.Close)
	open := func(opts ...parley.ClientOption) *parley.Client {
		return session(t, append(opts, parley.WithBaseURL(here.URL), parley.WithBearerToken("secret"))...)
	}

	t.Run("within the origin, with credentials and cookies", func(t *testing.T) {
		answer, err := converse(t.Context(), open(), here.URL+"/within")
		require.NoError(t, err)
		require.Equal(t, "Bearer secret", answer.Header.Get("X-Auth"))
		require.Equal(t, "id=7", answer.Header.Get("X-Cookie"))
	})
	t.Run("to another origin, where the handshake stays behind", func(t *testing.T) {
		_, err := converse(t.Context(), open(), here.URL+"/away")
		require.ErrorContains(t, err, "426")
	})
	t.Run("to another origin with the handshake, but without credentials", func(t *testing.T) {
		c := open(parley.WithRedirectHeaders("Connection", "Upgrade", "Sec-WebSocket-Version", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "Sec-WebSocket-Extensions"))
		answer, err := converse(t.Context(), c, here.URL+"/away")
		require.NoError(t, err)
		require.Empty(t, answer.Header.Get("X-Auth"))
	})
	t.Run("to another origin that is trusted", func(t *testing.T) {
		answer, err := converse(t.Context(), open(parley.WithTrustedOrigins(there.URL)), here.URL+"/away")
		require.NoError(t, err)
		require.Equal(t, "Bearer secret", answer.Header.Get("X-Auth"))
	})
	t.Run("not where the session follows none", func(t *testing.T) {
		_, err := converse(t.Context(), open(parley.WithFollowRedirects(false)), here.URL+"/within")
		require.ErrorContains(t, err, "302")
	})
}

// The server speaks HTTP/2 too, by which there is no Upgrade.
func TestWebSocketOverTLSAndThroughAProxy(t *testing.T) {
	authority := wiretest.NewAuthority(t)
	s := httptest.NewUnstartedServer(wsEcho(http.NotFoundHandler()))
	s.TLS, s.EnableHTTP2 = authority.Server(t, "site.test"), true
	s.StartTLS()
	t.Cleanup(s.Close)
	names := wiretest.NewNames(map[string]string{"site.test:443": s.Listener.Addr().String()})
	proxy := wiretest.NewProxy(t, names, "gate:keeper")
	for name, way := range map[string]parley.ClientOption{
		"directly":      parley.WithDialer(names),
		"by CONNECT":    parley.WithProxy("http://gate:keeper@" + proxy.Addr()),
		"through SOCKS": parley.WithProxy("socks5h://gate:keeper@" + proxy.Addr()),
	} {
		t.Run(name, func(t *testing.T) {
			c := session(t, way, parley.WithTLSConfig(authority.Trusted()))
			for range 2 {
				resp, err := c.Get(t.Context(), "https://site.test/")
				require.NoError(t, err)
				require.Equal(t, "HTTP/2.0", resp.Proto)
				answer, err := converse(t.Context(), c, "wss://site.test/echo")
				require.NoError(t, err)
				require.Equal(t, http.StatusSwitchingProtocols, answer.StatusCode)
				require.Equal(t, "HTTP/1.1", answer.Proto)
			}
			require.EqualValues(t, 3, c.Stats().Dials, "one for HTTP/2, one for each of the others")
		})
	}
	asked := slices.Sorted(slices.Values(proxy.Asked()))
	require.Equal(t, []string{"CONNECT site.test:443", "SOCKS site.test:443"}, slices.Compact(asked))
}
