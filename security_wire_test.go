package parley_test

// Every case of the list of known vulnerabilities of HTTP clients has a test whose
// name begins with its number: section 4 (what is written) in this file and in
// security_body_test.go, section 5 (what is read) in security_parse_test.go and
// security_desync_test.go, section 6 (exhaustion) in security_limits_test.go,
// security_coding_test.go (all content codings), security_exhaustion_test.go and
// security_answer_test.go, section 13 (multipart and files) in
// security_multipart_test.go and security_download_test.go, section 16 (HTTP/2) in
// security_http2_test.go, security_flood_test.go, security_shared_test.go,
// security_uploads_test.go and security_matrix_test.go, which runs many of the others by
// HTTP/2, and the rules that need no socket once more in package internal/h1. These have
// no test, or parts of them have none:
//
//	S061  no API makes an upgrade request: Upgrade is a header like any other
//	S066  retries: come with the retry policy
//	S091  not offered: there is no upload limit
//	S095  that of dispositions is in package disposition
//	S099  HTML is never parsed; names of files are read in package disposition

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// guardTime is how long one test may take: what hangs takes for ever, and decoding under
// the race detector on a busy machine takes long.
const guardTime = time.Minute

// requireSwift demands that work of some MiB which began at start has not become one of
// some GiB.
func requireSwift(t *testing.T, start time.Time, what ...any) {
	t.Helper()
	most := 5 * time.Second
	if raceEnabled {
		most *= 6
	}
	require.Less(t, time.Since(start), most, what...)
}

// wireClient makes a session that ends with the test.
func wireClient(t *testing.T, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	c, err := parley.New(asSpoken(t, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// recording is a session with one pooled connection to a server that records all it
// reads and answers every request with its target.
type recording struct {
	t      *testing.T
	server *wiretest.Server
	client *parley.Client
	probe  string // what a request for /probe is on the wire
}

func newRecording(t *testing.T, opts ...parley.ClientOption) *recording {
	t.Helper()
	wiretest.Guard(t, guardTime)
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		if r.Method == http.MethodHead {
			return wiretest.OK("")
		}
		return wiretest.OK(r.RequestURI)
	}))
	r := &recording{t: t, server: s, client: wireClient(t, append([]parley.ClientOption{parley.WithBaseURL(s.URL())}, opts...)...)}
	r.sendProbe()
	r.probe = s.Text()
	require.True(t, strings.HasPrefix(r.probe, "GET /probe HTTP/1.1\r\nHost: "+s.Addr()+"\r\n"), r.probe)
	return r
}

func (r *recording) sendProbe() {
	r.t.Helper()
	resp, err := r.client.Get(r.t.Context(), "probe")
	require.NoError(r.t, err)
	text, err := resp.Text()
	require.NoError(r.t, err)
	require.Equal(r.t, "/probe", text)
}

// nothingSince demands that of all since before only this probe reached the server,
// on the connection that was pooled before: a byte of anything else would stand in
// front of it.
func (r *recording) nothingSince(before string) {
	r.t.Helper()
	r.sendProbe()
	require.Equal(r.t, before+r.probe, r.server.Text())
	require.Equal(r.t, 1, r.server.Accepted())
}

// refuses demands that send fails for want before a byte is written.
func (r *recording) refuses(want error, send func() error) {
	r.t.Helper()
	before := r.server.Text()
	err := send()
	require.ErrorIs(r.t, err, want)
	var e *parley.Error
	require.ErrorAs(r.t, err, &e)
	require.Equal(r.t, parley.PhaseRequest, e.Phase)
	require.Equal(r.t, parley.NotSent, e.Sent)
	r.nothingSince(before)
}

// get is a way to send a GET with options.
func (r *recording) get(opts ...parley.RequestOption) func() error {
	return r.call("GET", "x", opts...)
}

func (r *recording) call(method, ref string, opts ...parley.RequestOption) func() error {
	return func() error {
		_, err := r.client.Request(r.t.Context(), method, ref, opts...)
		return err
	}
}

// edited is a way to send a GET that the program, or middleware, has changed by hand.
func (r *recording) edited(edit func(*parley.Request)) func() error {
	return func() error {
		req, err := r.client.NewRequest("GET", "x")
		require.NoError(r.t, err)
		edit(req)
		resp, err := r.client.Send(r.t.Context(), req)
		if err == nil {
			err = resp.Close()
		}
		return err
	}
}

// takes demands that send succeeds as one request, and gives its bytes.
func (r *recording) takes(send func() error) string {
	r.t.Helper()
	before := r.server.Text()
	require.NoError(r.t, send())
	after := r.server.Text()
	r.nothingSince(after)
	return strings.TrimPrefix(after, before)
}

// through is a way to send a GET that network middleware changes in a copy.
func (r *recording) through(edit func(*parley.Request)) func() error {
	return func() error {
		c, err := r.client.With(parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport {
			return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
				req = req.Clone()
				edit(req)
				return next.Send(ctx, req)
			})
		}))
		require.NoError(r.t, err)
		_, err = c.Get(r.t.Context(), "x")
		return errors.Join(err, c.Close())
	}
}

// on gives the recording for a subtest.
func (r *recording) on(t *testing.T) *recording {
	sub := *r
	sub.t = t
	return &sub
}

// badValues are those that no header may have.
var badValues = []string{"a\r\nX: 1", "a\nX: 1", "a\r", "\n", "a\x00b", "a\x7f", "a\x1b", "\r\n\r\nGET / HTTP/1.1\r\n\r\n"}

// badNames are those that no header may have.
var badNames = []string{"", "A B", "A:", "A\r\nB", " A", "A\t", "Ä", "(x)", "A\x00", "A\r\n", ":authority", ":path", ":x"}

// staticJar is a jar that knows one cookie, whoever asks.
type staticJar struct{ cookie *http.Cookie }

func (staticJar) SetCookies(*url.URL, []*http.Cookie) {}
func (j staticJar) Cookies(*url.URL) []*http.Cookie   { return []*http.Cookie{j.cookie} }

func TestS053_ControlBytesInHeaderValuesAreRefused(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, value := range badValues {
		ways := map[string]func() error{
			"option":        r.get(parley.WithHeader("X-A", value)),
			"second value":  r.get(parley.WithHeaders(http.Header{"X-A": {"fine", value}})),
			"user agent":    r.get(parley.WithHeader("User-Agent", value)),
			"cookie":        r.get(parley.WithCookie("a", value)),
			"cookie header": r.get(parley.WithHeader("Cookie", "a="+value)),
			"host":          r.get(parley.WithHeader("Host", value)),
			"authorization": r.get(parley.WithHeader("Authorization", "Bearer "+value)),
			"field":         r.edited(func(req *parley.Request) { req.Header["X-A"] = []string{value} }),
			"odd spelling":  r.edited(func(req *parley.Request) { req.Header["x-a"] = []string{"fine", value} }),
			"expect":        r.edited(func(req *parley.Request) { req.Header["Expect"] = []string{value} }),
			"connection":    r.edited(func(req *parley.Request) { req.Header["Connection"] = []string{value} }),
			"trailer":       r.edited(func(req *parley.Request) { req.Header["Trailer"] = []string{value} }),
			"without session": func() error {
				req, err := parley.NewRequest("GET", r.server.URL()+"/x")
				require.NoError(t, err)
				req.Header["X-A"] = []string{value}
				_, err = r.client.Send(t.Context(), req)
				return err
			},
			"auth function": r.get(parley.WithAuth(parley.AuthFunc(func(_ context.Context, req *parley.Request) error {
				req.Header.Set("Authorization", value)
				return nil
			}))),
			"middleware": r.through(func(req *parley.Request) { req.Header["X-A"] = []string{value} }),
		}
		for _, name := range []string{"Content-Length", "Transfer-Encoding"} {
			ways[name] = r.get(parley.WithHeader(name, value))
		}
		for name, send := range ways {
			t.Run(name, func(t *testing.T) { r.on(t).refuses(parley.ErrInvalidHeader, send) })
		}
		require.ErrorIs(t, r.get(parley.WithAuth(parley.TokenAuth(func(context.Context) (parley.Token, error) {
			return parley.Token{Value: value}, nil
		})))(), parley.ErrAuth)
		_, err := parley.New(parley.WithHeader("X-A", value))
		require.ErrorIs(t, err, parley.ErrInvalidHeader, "a session's default")
		_, err = parley.New(parley.WithCookie("a", value))
		require.ErrorIs(t, err, parley.ErrInvalidHeader, "a session's cookie")
		_, err = parley.New(parley.WithBasicAuth("u"+value, "p"))
		require.Error(t, err, "a user name")
		_, err = parley.New(parley.WithBasicAuth("u", "p"+value))
		require.Error(t, err, "a password")
		_, err = parley.New(parley.WithBearerToken("t" + value))
		require.Error(t, err, "a token")
		_, err = parley.DigestAuth("u", "p"+value)
		require.Error(t, err, "a password for Digest")
		_, err = parley.APIKeyHeader("X-Key", "k"+value)
		require.ErrorIs(t, err, parley.ErrInvalidHeader, "a key")
	}
	require.Contains(t, r.takes(r.get(parley.WithHeader("X-A", "a\tb"))), "\r\nX-A: a\tb\r\n")
	require.Contains(t, r.takes(r.get(parley.WithHeader("X-A", "\x80\xff"))), "\r\nX-A: \x80\xff\r\n")
}

func TestS053_ACookieOfAJarIsCheckedLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, value := range badValues {
		c, err := r.client.With(parley.WithJar(staticJar{&http.Cookie{Name: "a", Value: value}}))
		require.NoError(t, err)
		r.refuses(parley.ErrInvalidHeader, func() error {
			_, err := c.Get(t.Context(), "x")
			return err
		})
	}
}

func TestS053_UserInformationCannotEndAHeader(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	at := strings.Replace(r.server.URL(), "http://", "http://u%0d%0aX:1:p%0d%0aY%00@", 1)
	send := r.call("GET", at+"/x")
	before := r.server.Text()
	if err := send(); err != nil {
		require.ErrorIs(t, err, parley.ErrInvalidURL)
		r.nothingSince(before)
		return
	}
	want := base64.StdEncoding.EncodeToString([]byte("u\r\nX:1:p\r\nY\x00"))
	sent := strings.TrimPrefix(r.server.Text(), before)
	require.Contains(t, sent, "\r\nAuthorization: Basic "+want+"\r\n")
	require.NotContains(t, sent, "\nX")
}

func TestS054_HeaderNamesAreTokens(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, name := range badNames {
		for way, send := range map[string]func() error{
			"option":     r.get(parley.WithHeader(name, "v")),
			"headers":    r.get(parley.WithHeaders(http.Header{name: {"v"}})),
			"no value":   r.get(parley.WithHeaders(http.Header{name: nil})),
			"order":      r.get(parley.WithHeaderOrder("Accept", name)),
			"field":      r.edited(func(req *parley.Request) { req.Header[name] = []string{"v"} }),
			"empty list": r.edited(func(req *parley.Request) { req.Header[name] = nil }),
			"trailer":    r.get(parley.WithTrailer(name, func() string { return "v" })),
			"middleware": r.through(func(req *parley.Request) { req.Header[name] = []string{"v"} }),
			"trailer field": r.edited(func(req *parley.Request) {
				req.Trailers = []parley.Trailer{{Name: name, Value: func() string { return "v" }}}
			}),
		} {
			t.Run(way, func(t *testing.T) { r.on(t).refuses(parley.ErrInvalidHeader, send) })
		}
		_, err := parley.New(parley.WithHeader(name, "v"))
		require.ErrorIs(t, err, parley.ErrInvalidHeader)
	}
}

// A spelling given for the wire is looked at when it is used.
func TestS054_TheOrderOfARequestIsOfTokens(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, name := range badNames {
		sent := r.takes(r.edited(func(req *parley.Request) { req.HeaderOrder = []string{name, "Accept"} }))
		require.True(t, strings.HasPrefix(sent, "GET /x HTTP/1.1\r\nHost: "+r.server.Addr()+"\r\nAccept: */*\r\n"), sent)
	}
}

func TestS055_TheMethodIsAToken(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, method := range []string{"GET /x HTTP/1.1\r\nX: 1\r\n\r\nGET", "GE T", "GET\n", "", "GET\x00", "GÄT", "G:T", " GET"} {
		for way, send := range map[string]func() error{
			"call":       r.call(method, "x"),
			"field":      r.edited(func(req *parley.Request) { req.Method = method }),
			"middleware": r.through(func(req *parley.Request) { req.Method = method }),
		} {
			t.Run(way, func(t *testing.T) { r.on(t).refuses(parley.ErrInvalidHeader, send) })
		}
	}
	sent := r.takes(r.call("M-SEARCH", "x"))
	require.True(t, strings.HasPrefix(sent, "M-SEARCH /x HTTP/1.1\r\n"), sent)
}

func TestS056_TheTargetIsEncodedOrRefused(t *testing.T) {
	t.Parallel()
	const evil = "a b\r\nX: 1\x00#?&=%00\x7fä"
	r := newRecording(t)
	for _, ref := range []string{"a b\r\nX: 1", "x?q=a\r\nX: 1", "x?q=\x00", "\n", "x\x7f", "x?\t"} {
		r.refuses(parley.ErrInvalidURL, r.call("GET", ref))
		r.refuses(parley.ErrInvalidURL, r.call("GET", r.server.URL()+"/"+ref))
	}
	for _, target := range []string{"/a b", "/a\r\nX: 1", "/\x00", "/#f", "/ä", "a", "", "/x HTTP/1.1\r\n\r\n"} {
		if target != "" { // nothing said: the URL's
			r.refuses(parley.ErrInvalidHeader, r.get(parley.WithTarget(target)))
		}
	}
	for name, tt := range map[string]struct {
		send func() error
		want string
	}{
		"space in the path":      {r.call("GET", "a b"), "/a%20b"},
		"space in the query":     {r.call("GET", "x?a b"), "/x?a%20b"},
		"escapes stay":           {r.call("GET", "%00%0d%0A?%00%0d%0A"), "/%00%0d%0A?%00%0d%0A"},
		"path parameter":         {r.call("GET", "{p}", parley.WithPath("p", evil)), "/a%20b%0D%0AX%3A%201%00%23%3F%26%3D%2500%7F%C3%A4"},
		"query parameter":        {r.get(parley.WithQuery("q", evil)), "/x?q=a+b%0D%0AX%3A+1%00%23%3F%26%3D%2500%7F%C3%A4"},
		"query parameter, %20":   {r.get(parley.WithQuery("q", evil), parley.WithQueryStyle(parley.QueryPercent)), "/x?q=a%20b%0D%0AX%3A%201%00%23%3F%26%3D%2500%7F%C3%A4"},
		"query key":              {r.get(parley.WithParams(parley.Params{{Key: evil, Value: "v"}})), "/x?a+b%0D%0AX%3A+1%00%23%3F%26%3D%2500%7F%C3%A4=v"},
		"query map":              {r.get(parley.WithParams(map[string]string{"q": "\r\n#"})), "/x?q=%0D%0A%23"},
		"path set by hand":       {r.edited(func(req *parley.Request) { req.URL.Path = "/a b\r\nX: 1\x00" }), "/a%20b%0D%0AX:%201%00"},
		"path set by middleware": {r.through(func(req *parley.Request) { req.URL.Path = "/\r\n" }), "/%0D%0A"},
		"query set by hand":      {r.edited(func(req *parley.Request) { req.URL.RawQuery = "a b\r\nX: 1#ä" }), "/x?a%20b%0D%0AX:%201%23%C3%A4"},
		"opaque part":            {r.through(func(req *parley.Request) { req.URL.Opaque = "//evil.test/\r\nX: 1" }), "/x"},
	} {
		t.Run(name, func(t *testing.T) {
			sent := r.on(t).takes(tt.send)
			require.Equal(t, strings.Replace(r.probe, "/probe", tt.want, 1), sent)
		})
	}
}

func TestS057_RunesAreNeverCutToBytes(t *testing.T) {
	t.Parallel()
	const runes = "\u010d\u010a\u0120"
	r := newRecording(t)
	for name, tt := range map[string]struct {
		send func() error
		want string
	}{
		"path":            {r.call("GET", runes), "/%C4%8D%C4%8A%C4%A0"},
		"query":           {r.call("GET", "x?"+runes), "/x?%C4%8D%C4%8A%C4%A0"},
		"path parameter":  {r.call("GET", "{p}", parley.WithPath("p", runes)), "/%C4%8D%C4%8A%C4%A0"},
		"query parameter": {r.get(parley.WithQuery("q", runes)), "/x?q=%C4%8D%C4%8A%C4%A0"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, strings.Replace(r.probe, "/probe", tt.want, 1), r.on(t).takes(tt.send))
		})
	}
	sent := r.takes(r.get(parley.WithHeader("X-A", runes)))
	require.Contains(t, sent, "\r\nX-A: \xc4\x8d\xc4\x8a\xc4\xa0\r\n")
}

var badHosts = []string{"a\r\nX: 1", "a b", "a/b", "a@b", "a?b", "a#b", "[::1", "a\\b", "a\x00", "ä", "a:b", "a:65536", ":80", " a"}

func TestS058_TheHostIsAHostWithOptionalPort(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, host := range badHosts {
		for way, send := range map[string]func() error{
			"option": r.get(parley.WithHost(host)),
			"field":  r.edited(func(req *parley.Request) { req.Host = host }),
			"header": r.edited(func(req *parley.Request) { req.Header["Host"] = []string{host} }),
		} {
			t.Run(way, func(t *testing.T) { r.on(t).refuses(parley.ErrInvalidHeader, send) })
		}
	}
	require.Contains(t, r.takes(r.get(parley.WithHost("b.test:8080"))), "\r\nHost: b.test:8080\r\n")
	require.Contains(t, r.takes(r.get(parley.WithHost("[::1]"))), "\r\nHost: [::1]\r\n")
}

func TestS058_TheHostOfAURLIsNotCutToAValidOne(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	names := wiretest.NewNames(nil)
	c := wireClient(t, parley.WithDialer(names))
	for _, host := range []string{"a\r\nX: 1", "a b", " a", "a@b@c", "[::1", "[::1]x", "a\\b", "a\x00", "a:b", "a:65536", ":80", "", "a%0d%0ab"} {
		_, err := c.Get(t.Context(), "http://"+host+"/x")
		require.ErrorIs(t, err, parley.ErrInvalidURL, host)
		_, err = parley.New(parley.WithBaseURL("http://" + host + "/x"))
		require.ErrorIs(t, err, parley.ErrInvalidURL, host)
	}
	for _, host := range []string{"a\r\nX: 1", "a b", "a/b", "a@b", "a?b", "a#b", "a\\b", "a\x00", "[::1", "[::1]x", "[]", "a:b", ":80", "", "a b:80"} {
		req, err := parley.NewRequest("GET", "http://a.test/")
		require.NoError(t, err)
		req.URL.Host = host
		_, err = c.Send(t.Context(), req)
		var e *parley.Error
		require.ErrorAs(t, err, &e, host)
		require.Equal(t, parley.PhaseRequest, e.Phase, host)
		require.Equal(t, parley.NotSent, e.Sent)
	}
	require.Empty(t, names.Asked())
}

func TestS059_NobodyButTheEngineSuppliesTheVersion(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	fields := reflect.TypeFor[parley.Request]()
	for i := range fields.NumField() {
		require.NotContains(t, strings.ToLower(fields.Field(i).Name), "proto")
	}
	r.refuses(parley.ErrInvalidHeader, r.get(parley.WithTarget("/x HTTP/1.0")))
	r.refuses(parley.ErrInvalidHeader, r.call("GET /x HTTP/1.0\r\nX:", "x"))
	sent := r.takes(r.get(parley.WithTarget("/y")))
	require.True(t, strings.HasPrefix(sent, "GET /y HTTP/1.1\r\n"), sent)
}

// typedBody is a body of the content type given.
type typedBody string

func (b typedBody) Size() int64                  { return 1 }
func (b typedBody) ContentType() string          { return string(b) }
func (b typedBody) Open() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("x")), nil }
func (b typedBody) Replayable() bool             { return true }

func TestS060_TheContentTypeOfABodyIsChecked(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for _, typ := range []string{"text/plain\r\nX: 1", "text/plain\n", "a\x00", "\r"} {
		for name, body := range map[string]parley.Body{"bytes": parley.BytesBody([]byte("x"), typ), "own": typedBody(typ)} {
			t.Run(name, func(t *testing.T) {
				r := r.on(t)
				r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", parley.WithBody(body)))
				r.refuses(parley.ErrInvalidHeader, func() error {
					_, err := parley.NewRequest("POST", r.server.URL(), parley.WithBody(body))
					return err
				})
			})
		}
	}
	// The registry of extensions takes no such type, so that none can come from there.
	path := filepath.Join(t.TempDir(), "f.s060")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	require.Error(t, mime.AddExtensionType(".s060", "text/plain\r\nX: 1"))
	require.Contains(t, r.takes(r.call("POST", "x", parley.WithBodyFile(path))), "\r\nContent-Type: application/octet-stream\r\n")
}

func TestS061_UpgradeAndConnectionAreChecked(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for name, value := range map[string]string{
		"Upgrade": "websocket\r\nX: 1", "Sec-WebSocket-Protocol": "a\r\nX: 1", "Connection": "upgrade\r\nX: 1",
		"Sec-WebSocket-Key": "a\n",
	} {
		r.refuses(parley.ErrInvalidHeader, r.get(parley.WithHeader(name, value)))
	}
	for _, value := range []string{"a b", "a,,b", "a;b", `"a"`} {
		r.refuses(parley.ErrInvalidHeader, r.get(parley.WithHeader("Connection", value)))
	}
	sent := r.takes(r.get(parley.WithHeader("Upgrade", "websocket"), parley.WithHeader("Connection", "Upgrade")))
	require.Contains(t, sent, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
}

func TestS062_ConnectIsCheckedLikeAnyOther(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for name, opt := range map[string]parley.RequestOption{
		"target":         parley.WithTarget("a.test:443\r\nX: 1"),
		"target, no end": parley.WithTarget("a.test:443 "),
		"target, path":   parley.WithTarget("/x"),
		"host":           parley.WithHost("a.test:443\r\nX: 1"),
		"header":         parley.WithHeader("Proxy-Authorization", "a\r\nX: 1"),
		"body":           parley.WithText("x"),
	} {
		t.Run(name, func(t *testing.T) {
			r := r.on(t)
			r.refuses(parley.ErrInvalidHeader, r.call("CONNECT", "", opt))
		})
	}
}
