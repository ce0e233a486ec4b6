package parley_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// outputs are all that parley tells of calls.
type outputs struct {
	log, dump safeBuffer
	recorder  *parley.Recorder
	har       *parley.HAR
	more      []string // errors, command lines, explanations
}

// safeBuffer is a buffer that may be written to by several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newOutputs() *outputs {
	return &outputs{recorder: parley.NewRecorder(0), har: parley.NewHAR(parley.HARConfig{})}
}

// options switch all of them on.
func (o *outputs) options() []parley.ClientOption {
	logger := slog.New(slog.NewJSONHandler(&o.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return []parley.ClientOption{
		parley.WithLogger(logger), parley.WithDump(&o.dump, parley.DefaultDumpBody), parley.WithRecorder(o.recorder),
		parley.WithHAR(o.har), parley.WithRequestID(parley.RequestID{}),
	}
}

// texts gives every output by its name.
func (o *outputs) texts(t testing.TB) map[string]string {
	t.Helper()
	var archive, recorded bytes.Buffer
	_, err := o.har.WriteTo(&archive)
	require.NoError(t, err)
	require.NoError(t, har.Check(archive.Bytes()))
	require.NoError(t, o.recorder.WriteHAR(&recorded))
	require.NoError(t, har.Check(recorded.Bytes()))
	calls, err := json.Marshal(o.recorder)
	require.NoError(t, err)
	return map[string]string{
		"log": o.log.String(), "dump": o.dump.String(), "recorder": texts(o.recorder) + texts(o.recorder.Calls()) + texts(o.recorder.Failed()),
		"recorder's JSON": string(calls), "HAR": archive.String() + texts(o.har), "recorder's HAR": recorded.String(), "others": strings.Join(o.more, "\n"),
	}
}

// secretAnswers serves answers with secrets in all places that have them.
func secretAnswers(t testing.TB) *wiretest.Server {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, err := io.WriteString(z, `{"session": {"access_token": "`+secret+`", "list": ["`+secret+`"]}, "refresh-token" : "`+secret+`", "shown": "plain text"}`)
	require.NoError(t, err)
	require.NoError(t, z.Close())
	return wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, r *wiretest.Request) string {
		head := "Set-Cookie: sid=" + secret + "; Path=/; HttpOnly\r\nX-Auth-Token: " + secret + "\r\nWWW-Authenticate: Custom " + secret + "\r\n"
		switch r.URL.Path {
		case "/redirect":
			return "HTTP/1.1 302 Found\r\nLocation: /end?access_token=" + url.QueryEscape(secret) + "&shown=yes#" + secret + "\r\n" + head + "Content-Length: 0\r\n\r\n"
		case "/fails":
			return "HTTP/1.1 500 Oops\r\n" + head + "Content-Length: 3\r\n\r\nbad"
		case "/cut":
			c.Say("HTTP/1.1 200 OK\r\n" + head + "Content-Length: 30\r\n\r\nshort")
			return ""
		}
		return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: gzip\r\n" + head + "Content-Length: " +
			strconv.Itoa(zipped.Len()) + "\r\n\r\n" + zipped.String()
	}))
}

// spill sends requests with secrets in all places that have them.
func spill(t testing.TB, o *outputs, opts ...parley.ClientOption) {
	t.Helper()
	s := secretAnswers(t)
	opts = append(o.options(), append([]parley.ClientOption{
		parley.WithHeader("X-Api-Key", secret), parley.WithHeader("X-Mine", secret), parley.WithCookie("own", url.QueryEscape(secret)),
		parley.WithHeader("Proxy-Authorization", "Basic "+secret), parley.WithQuery("api_key", secret),
	}, opts...)...)
	c := newSession(t, opts...)
	target := withUser(s.URL())
	auth := parley.WithBasicAuth("user", secret)
	for _, row := range []struct {
		method, path string
		opts         []parley.RequestOption
	}{
		{"GET", "/redirect?X-Amz-Signature=" + url.QueryEscape(secret) + "&shown=yes", nil},
		{"POST", "/form", []parley.RequestOption{parley.WithForm(map[string]string{"password": secret, "shown": "plain text"})}},
		{"POST", "/json", []parley.RequestOption{auth, parley.WithJSON(map[string]any{"client_secret": secret, "a": []any{map[string]any{"Password": secret}}})}},
		{"POST", "/reader", []parley.RequestOption{parley.WithBearerToken("SECRET"), parley.WithReader(struct{ io.Reader }{strings.NewReader(`{"token":"` + secret + `"}`)})}},
		{"POST", "/coded", []parley.RequestOption{parley.WithJSON(map[string]string{"token": secret}), parley.WithCompression("gzip")}},
		{"GET", "/fails", []parley.RequestOption{auth}},
		{"GET", "/cut", nil},
	} {
		req, err := c.NewRequest(row.method, target+row.path, row.opts...)
		require.NoError(t, err)
		e, err := c.Explain(req)
		require.NoError(t, err)
		o.more = append(o.more, texts(e), texts(req))
		if line, err := req.Curl(); err == nil {
			o.more = append(o.more, line)
		} else {
			o.more = append(o.more, texts(err))
		}
		resp, err := c.Send(t.Context(), req)
		require.NoError(t, err)
		line, err := resp.Request.Curl()
		if err == nil {
			o.more = append(o.more, line)
		}
		if _, err := resp.Bytes(); err != nil {
			o.more = append(o.more, texts(err))
		}
		o.more = append(o.more, texts(resp))
	}
	_, err := c.Get(t.Context(), withUser("http://127.0.0.1:1/?token="+url.QueryEscape(secret)))
	require.Error(t, err)
	o.more = append(o.more, texts(err))
}

func TestS199_NoSecretsInWhatIsToldOfCalls(t *testing.T) {
	t.Parallel()
	o := newOutputs()
	spill(t, o)
	for name, text := range o.texts(t) {
		require.NotEmpty(t, text, name)
		for _, form := range forms() {
			require.NotContains(t, text, form, name)
		}
	}
	require.Equal(t, 3, strings.Count(o.log.String(), `"level":"WARN"`), "a status of 500, a body cut short, and no connection")
	for _, kept := range []string{"plain text", `"session": "[hidden]"`, "password=[hidden]", "Set-Cookie: sid=[hidden]; Path=/; HttpOnly", "X-Auth-Token: [hidden]", "shown=yes"} {
		require.Contains(t, o.dump.String(), kept, "what is no secret is shown")
	}
}

func TestS199_SecretsAreShownByNameOnly(t *testing.T) {
	t.Parallel()
	t.Run("all", func(t *testing.T) {
		o := newOutputs()
		spill(t, o, parley.WithRedaction(parley.Redaction{ShowSecrets: true}))
		for _, shown := range []string{
			"X-Api-Key: " + secret, "own=" + url.QueryEscape(secret), "sid=" + secret, "X-Auth-Token: " + secret,
			`"access_token": "` + secret, "api_key=" + url.QueryEscape(secret), "Authorization: Basic dXNlcjpTRUNSRVR",
		} {
			require.Contains(t, o.dump.String(), shown)
		}
		require.NotContains(t, strings.Join(o.more[len(o.more)-1:], ""), "SECRET", "an error never shows them")
	})
	t.Run("one header and one parameter", func(t *testing.T) {
		o := newOutputs()
		spill(t, o, parley.WithRedaction(parley.Redaction{ShowHeaders: []string{"x-mine"}, ShowParams: []string{"apiKey"}}))
		dump := o.dump.String()
		require.Contains(t, dump, "X-Mine: "+secret)
		require.Contains(t, dump, "api_key="+url.QueryEscape(secret))
		require.NotContains(t, dump, "X-Api-Key: "+secret)
		require.NotContains(t, dump, "X-Amz-Signature="+url.QueryEscape(secret))
	})
}
