package parley_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// secret stands in these tests for what must not be shown. Its length makes its
// base64 form the same wherever it begins at a multiple of three.
const secret = "SECRET~%/"

// forms gives what secret may look like.
func forms() []string {
	out := []string{secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:], "53454352"}
	for skip := range 3 { // base64 at each of the three offsets
		s := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", skip) + secret))
		out = append(out, s[4*((skip+2)/3):len(s)-4])
	}
	return append(out, "SECRET")
}

// texts gives all that can be printed or logged of a value, and of the errors that
// it wraps.
func texts(v any) string {
	var out bytes.Buffer
	for _, verb := range []string{"v", "+v", "#v", "s", "q", "x", "X", "d", "T", "40v", "-40v"} {
		fmt.Fprintf(&out, "%"+verb+"\n", v)
	}
	if err, ok := v.(error); ok {
		walk(err, func(err error) { fmt.Fprintf(&out, "%s\n%+v\n", err.Error(), err) })
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("text", "value", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "value", v)
	return out.String()
}

// walk visits an error and all that it wraps.
func walk(err error, visit func(error)) {
	visit(err)
	switch u := err.(type) {
	case interface{ Unwrap() error }:
		if below := u.Unwrap(); below != nil {
			walk(below, visit)
		}
	case interface{ Unwrap() []error }:
		for _, below := range u.Unwrap() {
			walk(below, visit)
		}
	}
}

// requireNoLeak checks that nothing that can be printed of v holds the secret.
func requireNoLeak(t testing.TB, v any) {
	t.Helper()
	all := texts(v)
	for _, form := range forms() {
		require.NotContains(t, all, form)
		require.NotContains(t, strings.ToLower(all), strings.ToLower(fmt.Sprintf("%x", form)))
	}
}

// withUser puts the secret into a URL as a password.
func withUser(raw string) string {
	return strings.Replace(raw, "://", "://user:"+url.QueryEscape(secret)+"@", 1)
}

func TestS164_NoCredentialsInErrors(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	plain := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		switch r.URL.Path {
		case "/status":
			return "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n"
		case "/gzip":
			return "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nbad"
		case "/json":
			return wiretest.OK("no json")
		case "/broken":
			return "HTTP/1.1 200\x00\r\n\r\n"
		case "/cut":
			return ""
		case "/short":
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort")
			return ""
		}
		c.Hold()
		return ""
	}))
	secure := wiretest.ServeTLS(t, ca.Server(t), wiretest.Echo())
	mute := wiretest.Serve(t, (*wiretest.Conn).Hold)
	client := newSession(t, parley.WithTimeouts(parley.Timeouts{Response: short}), parley.WithDialer(parley.DialerFunc(
		func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasSuffix(address, ".test:80") {
				return nil, &net.DNSError{Err: "no such host", Name: address, IsNotFound: true}
			}
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		})))
	decoded := func(resp *parley.Response, err error) error {
		if err != nil {
			return err
		}
		var v any
		return errors.Join(resp.Err(), resp.JSON(&v))
	}
	for name, row := range map[string]struct {
		url  string
		kind error
	}{
		"name":      {"http://nowhere.test/", parley.ErrConnect},
		"dial":      {"http://127.0.0.1:1/", parley.ErrConnect},
		"TLS":       {secure.URL(), parley.ErrTLS},
		"handshake": {"https://" + mute.Addr(), parley.ErrConnectTimeout},
		"answer":    {plain.URL() + "/silent", parley.ErrResponseTimeout},
		"protocol":  {plain.URL() + "/broken", parley.ErrRemoteProtocol},
		"closed":    {plain.URL() + "/cut", parley.ErrPeerClosed},
		"body":      {plain.URL() + "/short", parley.ErrRead},
		"coding":    {plain.URL() + "/gzip", parley.ErrDecoding},
		"JSON":      {plain.URL() + "/json", parley.ErrDecoding},
		"status":    {plain.URL() + "/status", nil},
		"scheme":    {"ftp://nowhere.test/", parley.ErrUnsupportedProtocol},
		"host":      {"http://no where.test/", parley.ErrInvalidURL},
		"port":      {"http://nowhere.test:x/", parley.ErrInvalidURL},
		"no slash":  {"http:nowhere.test/", parley.ErrInvalidURL},
	} {
		t.Run(name, func(t *testing.T) {
			raw := withUser(row.url)
			client := client
			if row.kind == parley.ErrConnectTimeout {
				client = derive(t, client, parley.WithTimeouts(parley.Timeouts{Connect: short}))
			}
			err := decoded(client.Get(t.Context(), raw))
			require.Error(t, err)
			if row.kind != nil {
				require.ErrorIs(t, err, row.kind)
			}
			requireNoLeak(t, err)
			var e *parley.Error
			if errors.As(err, &e) && e.URL != nil {
				require.Nil(t, e.URL.User)
			}
			based, err := client.With(parley.WithBaseURL(raw))
			if err == nil {
				requireNoLeak(t, based)
				err = decoded(based.Get(t.Context(), ""))
			}
			require.Error(t, err)
			requireNoLeak(t, err)
		})
	}
	t.Run("tries", func(t *testing.T) {
		for _, path := range []string{"/cut", "/short", "/status"} {
			told := 0
			client := derive(t, client, parley.WithRetry(parley.RetryPolicy{Backoff: -1, OnTry: func(_ context.Context, try parley.Try) {
				told++
				requireNoLeak(t, try)
				requireNoLeak(t, []parley.Try{try})
			}}))
			err := decoded(client.Get(t.Context(), withUser(plain.URL()+path), parley.WithHeader("X-Key", secret), parley.WithQuery("key", secret)))
			require.Error(t, err)
			requireNoLeak(t, err)
			require.GreaterOrEqual(t, told, 3)
			var failed *parley.RetryError
			if errors.As(err, &failed) {
				requireNoLeak(t, failed.Tries)
			}
		}
	})
	t.Run("malformed user information", func(t *testing.T) {
		for _, raw := range []string{
			"http://user:" + secret + "@a.test/", "http://user:SECRET@@a.test/", "http://user:SECRET%@a.test/",
			"http://user:SECRET\n@a.test/", "user:SECRET@a.test/", "//user:SECRET@a.test/", "http://[user:SECRET@a.test/",
			"http://user:SECRET@a.test:99999/", "http://user:SECRET@/", "http:user:SECRET@a.test/", `http:\\user:SECRET@a.test/`,
		} {
			_, err := client.Get(t.Context(), raw)
			require.Error(t, err, raw)
			requireNoLeak(t, err)
		}
	})
	t.Run("the final URL", func(t *testing.T) {
		resp, err := client.Get(t.Context(), withUser(plain.URL()+"/status"))
		require.NoError(t, err)
		require.Nil(t, resp.Request.URL.User)
		require.NotContains(t, resp.Request.URL.String(), "SECRET")
		var status *parley.StatusError
		require.ErrorAs(t, resp.Err(), &status)
		require.Nil(t, status.URL.User)
	})
	t.Run("the query is left out of the text", func(t *testing.T) {
		_, err := client.Get(t.Context(), "http://nowhere.test/", parley.WithQuery("key", secret))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "SECRET")
		require.Contains(t, err.Error(), "http://nowhere.test/")
	})
}

func TestS165_NoHeaderValuesInErrors(t *testing.T) {
	t.Parallel()
	client := newSession(t)
	set := func(name, value string) func() error {
		return func() error {
			req, err := parley.NewRequest("GET", "http://a.test/")
			require.NoError(t, err)
			req.Header[name] = []string{value}
			_, err = client.Send(t.Context(), req)
			return err
		}
	}
	option := func(o parley.RequestOption) func() error {
		return func() error {
			_, err := client.Get(t.Context(), "http://a.test/", o)
			return err
		}
	}
	for name, row := range map[string]struct {
		send func() error
		says string
	}{
		"Authorization with a line feed, by option": {option(parley.WithHeader("Authorization", secret+"\n")), "Authorization"},
		"Authorization with a line feed, by hand":   {set("Authorization", secret+"\n"), "Authorization"},
		"a custom header with NUL":                  {option(parley.WithHeader("X-Token", "\x00"+secret)), "X-Token"},
		"several headers":                           {option(parley.WithHeaders(http.Header{"X-Token": {secret + "\r"}})), "X-Token"},
		"a cookie with a control byte":              {option(parley.WithCookie("sid", secret+"\x01")), "sid"},
		"a cookie header by hand":                   {set("Cookie", "sid="+secret+"\x01"), "Cookie"},
		"a content length":                          {set("Content-Length", secret), "Content-Length"},
		"a transfer coding":                         {set("Transfer-Encoding", secret), "Transfer-Encoding"},
		"a host":                                    {set("Host", secret+" "), "Host"},
		"a host by option":                          {option(parley.WithHost(secret + " ")), "WithHost"},
		"a target":                                  {option(parley.WithTarget("/?" + secret + "\n")), ""},
		"a trailer's name":                          {option(parley.WithTrailer("X\n"+secret, func() string { return "" })), ""},
		"the session's own":                         {func() error { _, err := parley.New(parley.WithHeader("X-Token", secret+"\n")); return err }, "X-Token"},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.send()
			require.ErrorIs(t, err, parley.ErrInvalidHeader)
			require.Contains(t, err.Error(), row.says)
			if name == "a trailer's name" {
				return // names are no secrets
			}
			requireNoLeak(t, err)
		})
	}
}

// requirePlain checks that a text is one line of printable ASCII, below 1 KiB.
func requirePlain(t testing.TB, text string) {
	t.Helper()
	require.Less(t, len(text), 1<<10)
	for _, r := range text {
		require.True(t, r >= ' ' && r <= '~', "%q", text)
	}
}

func TestS166_PeerBytesAreQuotedAndCut(t *testing.T) {
	t.Parallel()
	const forgery = "\n[INFO] forged \x1b[31m"
	long := forgery + strings.Repeat("x\x1b", 1<<18) + strings.Repeat("x", 1<<19)
	quick := strings.ReplaceAll(long, "\n", "\r")
	for name, wire := range map[string]string{
		"no HTTP":            long,
		"status line":        "HTTP/1.1 200" + quick + "\r\n\r\n",
		"reason":             "HTTP/1.1 200 OK" + quick + "\r\n\r\n",
		"protocol":           "HTTP/9.9" + quick + " 200 OK\r\n\r\n",
		"header line":        "HTTP/1.1 200 OK\r\n" + quick + "\r\n\r\n",
		"header name":        "HTTP/1.1 200 OK\r\nX\x1b[31m: y\r\n\r\n",
		"header value":       "HTTP/1.1 200 OK\r\nX: " + quick + "\r\n\r\n",
		"content length":     "HTTP/1.1 200 OK\r\nContent-Length: \x1b[31m" + strings.Repeat("9", 1<<19) + "\r\n\r\n",
		"unequal lengths":    "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"transfer coding":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: \xff\xfe\r\n\r\n",
		"chunk size":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + long + "\r\n",
		"chunk end":          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx" + long,
		"trailer":            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + quick + "\r\n\r\n",
		"content coding":     "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 22\r\n\r\n" + forgery,
		"SSH":                "SSH-2.0-OpenSSH_9.9" + forgery + "\r\n",
		"TLS record":         "\x15\x03\x01\x00\x02\x02\x0a\x1b[31m\n",
		"too many interim":   strings.Repeat("HTTP/1.1 103 \x1b[31m\r\n\r\n", 20),
		"head above a limit": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("y", 2<<20) + "\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) { c.Say(wire) }))
			client := newSession(t, parley.WithPhaseTimeout(guard))
			_, err := client.Get(t.Context(), server.URL())
			require.Error(t, err)
			walk(err, func(err error) { requirePlain(t, err.Error()) })
		})
	}
	t.Run("status", func(t *testing.T) {
		server := wiretest.Serve(t, afterHead(func(c *wiretest.Conn) {
			c.Say("HTTP/1.1 500 " + strings.Repeat("\x80\xff", 1<<10) + "\r\nContent-Length: 0\r\n\r\n")
		}))
		resp, err := newSession(t).Get(t.Context(), server.URL())
		require.NoError(t, err)
		requirePlain(t, resp.Err().Error())
		requirePlain(t, fmt.Sprint(resp))
	})
	t.Run("certificate", func(t *testing.T) {
		ca := wiretest.NewAuthority(t)
		for _, names := range [][]string{{forgery}, {forgery + strings.Repeat("x", 1<<16), "a.test"}, manyNames(5000)} {
			cert := ca.Certificate(t, names...)
			server := wiretest.ServeTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, wiretest.Echo())
			for _, cfg := range []*tls.Config{nil, ca.Trusted()} {
				_, err := newSession(t, parley.WithTLSConfig(cfg)).Get(t.Context(), server.URL())
				require.ErrorIs(t, err, parley.ErrTLS)
				requirePlain(t, err.Error())
			}
		}
	})
	t.Run("an error of the user's own", func(t *testing.T) {
		client := newSession(t, parley.WithMiddleware(func(parley.Transport) parley.Transport {
			return parley.TransportFunc(func(context.Context, *parley.Request) (*parley.Response, error) { return nil, errors.New(long) })
		}))
		_, err := client.Get(t.Context(), "http://a.test/"+strings.Repeat("p", 5000))
		requirePlain(t, err.Error())
	})
}

func manyNames(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("host-%d.test", i)
	}
	return names
}

func TestS167_ResultsHoldNothingOfOthers(t *testing.T) {
	t.Parallel()
	marker := strings.Repeat(secret, 2000)
	server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		switch r.URL.Path {
		case "/secret":
			return wiretest.OK(marker)
		case "/short":
			return wiretest.OK("ok")
		case "/chunked":
			return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Trailer: t\r\n\r\n"
		case "/cut":
			c.Say("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\nok")
			return ""
		case "/upload":
			return wiretest.OK(fmt.Sprint(strings.Contains(r.Head+string(r.Content), "SECRET"), len(r.Content)))
		}
		return "nonsense\r\n\r\n"
	}))
	client := newSession(t, parley.WithPoolLimits(parley.PoolLimits{Hard: 4}), parley.WithPhaseTimeout(guard))
	check := func(what, text string) {
		if strings.Contains(text, "SECRET") {
			t.Errorf("%s holds foreign bytes: %.60q", what, text)
		}
	}
	var running sync.WaitGroup
	for range 8 {
		running.Go(func() {
			for range 15 {
				if resp, err := client.Get(t.Context(), server.URL()+"/secret"); err != nil || resp.ContentLength != int64(len(marker)) {
					t.Errorf("the long one: %v", err)
				}
				for _, path := range []string{"/short", "/chunked"} {
					resp, err := client.Get(t.Context(), server.URL()+path)
					if err != nil {
						t.Error(err)
						continue
					}
					content, err := resp.Bytes()
					if err != nil || string(content) != "ok" {
						t.Errorf("%s gave %.60q, %v", path, content, err)
					}
					check("beyond the end", string(content[:cap(content)]))
					check("header", fmt.Sprint(resp.Header, resp.Trailer))
				}
				for _, path := range []string{"/cut", "/nonsense"} {
					_, err := client.Get(t.Context(), server.URL()+path)
					if err == nil {
						t.Errorf("%s succeeded", path)
						continue
					}
					check("error", err.Error())
				}
				resp, err := client.Stream(t.Context(), "GET", server.URL()+"/cut")
				if err != nil {
					t.Error(err)
					continue
				}
				part, _ := io.ReadAll(resp.Body)
				check("what came before the cut", string(part[:cap(part)]))
				for _, body := range []parley.RequestOption{
					parley.WithText("mine"), parley.WithReader(io.LimitReader(strings.NewReader("mine"), 4)),
				} {
					resp, err := client.Post(t.Context(), server.URL()+"/upload", body)
					if err != nil {
						t.Error(err)
						continue
					}
					if text, _ := resp.Text(); text != "false 4" {
						t.Errorf("the server received foreign bytes: %s", text)
					}
				}
			}
		})
	}
	running.Wait()
	requireNoneActive(t, client)
}

func TestS198_NothingPrintsItsSecrets(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 403 Forbidden\r\nSet-Cookie: sid=SECRET\r\nX-Token: SECRET\r\nContent-Length: 6\r\n\r\nSECRET"
	}))
	form, err := parley.FormBody(url.Values{"password": {secret}})
	require.NoError(t, err)
	client := newSession(t, parley.WithBaseURL(withUser(server.URL())), parley.WithHeader("X-Token", secret),
		parley.WithQuery("key", secret), parley.WithCookie("sid", secret), parley.WithAttribute("key", secret),
		parley.WithTLSConfig(&tls.Config{ServerName: secret}))
	req, err := client.NewRequest("POST", "x", parley.WithBody(form), parley.WithHeader("Authorization", "Bearer "+secret))
	require.NoError(t, err)
	resp, err := client.Post(t.Context(), "x", parley.WithForm(url.Values{"password": {secret}}))
	require.NoError(t, err)
	stream, err := client.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	defer stream.Close()
	refused := resp.Err()
	require.Error(t, refused)

	for name, v := range map[string]any{
		"session": client, "request": req, "request as value": *req, "response": resp, "response as value": *resp,
		"stream": stream, "status error": refused, "body": form, "pool": client.Pool(), "statistics": client.Stats(),
		"result":        parley.Result{Request: req, Response: resp, Err: refused},
		"cookie option": parley.WithCookie("sid", secret),
		"header option": parley.WithHeader("X-Token", secret),
		"query option":  parley.WithQuery("key", secret),
		"body option":   parley.WithBody(form),
		"several":       parley.WithOptions(parley.WithHeader("X-Token", secret), parley.WithCookie("sid", secret)),
		"base option":   parley.WithBaseURL(withUser(server.URL())),
		"in a struct": struct {
			C *parley.Client
			R *parley.Request
			V parley.Request
			S *parley.Response
		}{client, req, *req, resp},
		"hidden in a struct": struct{ c *parley.Client }{client},
		"in a slice":         []*parley.Request{req},
		"in a map":           map[string]any{"request": req, "response": *resp, "client": client},
		"pointer to it":      &req,
		"wrapped error":      fmt.Errorf("wrapped: %w", refused),
		"joined errors":      errors.Join(refused, refused),
		"jar":                client.Jar(),
		"timing":             resp.Timing(),
		"client options":     []parley.ClientOption{parley.WithHeader("X-Token", secret), parley.WithBaseURL(withUser(server.URL()))},
	} {
		t.Run(name, func(t *testing.T) { requireNoLeak(t, v) })
	}
	require.Equal(t, "<Request POST "+server.URL()+"/x?...>", fmt.Sprint(req))
	require.Equal(t, "<Response 403 Forbidden to POST "+server.URL()+"/x?...>", fmt.Sprintf("%+v", resp))
	require.Equal(t, fmt.Sprintf("%q", req.String()), fmt.Sprintf("%q", req))
	require.Equal(t, "  <Request  >", fmt.Sprintf("%13v", parley.Request{}))
	require.Contains(t, fmt.Sprint(client.Stats().Origins[0].Origin), "http://127.0.0.1:")
}
