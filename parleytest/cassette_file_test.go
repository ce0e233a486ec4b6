package parleytest_test

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
	"github.com/seed-0474a412/parley/parleytest"
)

// entry is a file with one entry, of which some values are replaced.
func entry(replace ...string) string {
	return strings.NewReplacer(replace...).Replace(`{"log": {"version": "1.2", "creator": {"name": "browser", "version": "1"}, "pages": [], "entries": [{
"startedDateTime": "2020-05-01T10:00:00.123+02:00", "time": 3, "request": {"method": "GET", "url": "https://a.test/?q=1", "httpVersion": "h2", "cookies": [],
"headers": [{"name": ":authority", "value": "a.test"}, {"name": "accept-encoding", "value": "gzip"}], "queryString": [], "headersSize": -1, "bodySize": 0},
"response": {"status": 200, "statusText": "", "httpVersion": "h2", "cookies": [], "headers": [{"name": "content-encoding", "value": "gzip"},
{"name": "content-length", "value": "9999"}, {"name": "content-type", "value": "text/x"}, {"name": ":status", "value": "200"}, {"name": "date", "value": "x"}],
"content": {"size": 2, "mimeType": "text/x", "text": "aGk=", "encoding": "base64"}, "redirectURL": "", "headersSize": -1, "bodySize": 9999},
"cache": {}, "timings": {"send": 1, "wait": 2, "receive": 0}}]}}`)
}

func TestCassette_filesThatCannotBeUsed(t *testing.T) {
	atDesk(t)
	for name, row := range map[string]struct {
		text, words string
		cfg         parleytest.CassetteConfig
	}{
		"empty":                {"", "unexpected end of JSON input", parleytest.CassetteConfig{}},
		"truncated":            {entry()[:300], "unexpected end of JSON input", parleytest.CassetteConfig{}},
		"no archive":           {"[]", "cannot unmarshal", parleytest.CassetteConfig{}},
		"merged with markers":  {"<<<<<<< HEAD\n" + entry(), "invalid character '<'", parleytest.CassetteConfig{}},
		"another version":      {entry(`"1.2"`, `"2.0"`), "no log of version 1.x", parleytest.CassetteConfig{}},
		"too large":            {entry(), "larger than 100 bytes", parleytest.CassetteConfig{MaxBytes: 100}},
		"a body too large":     {entry(), "the body of the answer is larger than 1 bytes", parleytest.CassetteConfig{MaxBodyBytes: 1}},
		"a malformed body":     {entry("aGk=", "aGk"), "entry 1: HTTP archive: content: illegal base64", parleytest.CassetteConfig{}},
		"an unknown encoding":  {entry(`"base64"`, `"base32"`), `content in the unknown encoding "base32"`, parleytest.CassetteConfig{}},
		"a relative URL":       {entry("https://a.test/", "/"), `the URL "/?q=1" is not absolute`, parleytest.CassetteConfig{}},
		"a malformed URL":      {entry("https://a.test/", "https://a.test:x/"), "invalid port", parleytest.CassetteConfig{}},
		"no method":            {entry(`"GET"`, `""`), "entry 1: there is no method", parleytest.CassetteConfig{}},
		"an impossible status": {entry(`"status": 200`, `"status": 99`), "99 is not the status of an answer", parleytest.CassetteConfig{}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.har")
			require.NoError(t, os.WriteFile(path, []byte(row.text), 0o600))
			reported(t, func(tb testing.TB) { parleytest.NewCassette(tb, path, row.cfg) }, "cassette "+path+": ", row.words, "PARLEY_CASSETTE=record records it anew")
		})
	}
	t.Run("a folder", func(t *testing.T) {
		reported(t, func(tb testing.TB) { parleytest.NewCassette(tb, t.TempDir(), parleytest.CassetteConfig{}) }, "is a directory")
	})
	t.Run("a folder that cannot be made", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(file, nil, 0o600))
		reported(t, func(tb testing.TB) {
			c := parleytest.NewCassette(tb, filepath.Join(file, "a.har"), parleytest.CassetteConfig{Mode: parleytest.RecordAgain, Through: parley.HandlerTransport(parleytest.Status(200))})
			_, err := c.Send(t.Context(), mustRequest(t, "GET", "http://a.test/"))
			require.NoError(t, err)
		}, "is not written")
	})
}

func mustRequest(t *testing.T, method, url string, opts ...parley.RequestOption) *parley.Request {
	t.Helper()
	req, err := parley.NewRequest(method, url, opts...)
	require.NoError(t, err)
	return req
}

func TestCassette_replaysWhatABrowserHasSaved(t *testing.T) {
	atDesk(t)
	path := filepath.Join(t.TempDir(), "a.har")
	require.NoError(t, os.WriteFile(path, []byte(entry()), 0o600))
	f := run(t, func(tb testing.TB) {
		c := parleytest.NewCassette(tb, path, parleytest.CassetteConfig{MaxAge: 1})
		resp, err := c.Client().Get(t.Context(), "https://a.test/?q=1")
		require.Equal(t, "hi", text(t, resp, err))
		require.Equal(t, "200", resp.Status)
		require.Equal(t, "text/x", resp.Header.Get("Content-Type"))
		require.NotEqual(t, "x", resp.Header.Get("Date"))
	})
	require.Empty(t, f.reports)
	require.Contains(t, f.logs[0], "was recorded on 2020-05-01")
}

// What a session demands of TLS has no connection to be demanded of.
func TestCassette_replaysWhateverIsSaidOfTLS(t *testing.T) {
	atDesk(t)
	path := filepath.Join(t.TempDir(), "a.har")
	require.NoError(t, os.WriteFile(path, []byte(entry()), 0o600))
	pin := parley.WithPublicKeyPins("sha256/" + strings.Repeat("A", 43) + "=")
	f := run(t, func(tb testing.TB) {
		client := parleytest.NewCassette(tb, path, parleytest.CassetteConfig{}).Client(pin)
		resp, err := client.Get(t.Context(), "https://a.test/?q=1")
		require.Equal(t, "hi", text(t, resp, err))
		require.Equal(t, "a.test", resp.TLS.ServerName)
		require.Equal(t, "https", resp.Request.URL.Scheme)
		_, err = client.Get(t.Context(), "https://a.test/other?q=1")
		require.ErrorIs(t, err, parleytest.ErrUnexpected)
	})
	require.Len(t, f.reports, 1)
	require.Contains(t, f.reports[0], "https://a.test/other is not in")
}

// Whoever records is told what will not be there afterwards.
func TestCassette_tellsWhatIsHidden(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{}, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Total-Count", "3") })
	f := tp.run(func(_ *parleytest.Cassette, client *parley.Client) {
		_, err := client.Get(t.Context(), "a")
		require.NoError(t, err)
	})
	require.Contains(t, strings.Join(f.logs, "\n"), "hidden in answers: X-Total-Count; ")
}

// Recording the same again changes nothing but the date.
func TestCassette_theFileIsStable(t *testing.T) {
	var n atomic.Int64
	tp := newTape(t, parleytest.CassetteConfig{Mode: parleytest.RecordAgain}, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-Id", fmt.Sprint(n.Add(1)))
		w.Header().Set("Etag", `"a"`)
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = io.WriteString(w, "<b>\u2028 & text\n")
	})
	test := func(_ *parleytest.Cassette, client *parley.Client) {
		for _, value := range []string{"a", "b"} {
			_, err := client.Post(t.Context(), "a?x=1", parley.WithMultipart(parley.FormBytes("f", "f.bin", []byte{0xff}), parley.FormField("a", value)))
			require.NoError(t, err)
			resp, err := client.Post(t.Context(), "a?x=1", parley.WithText(value))
			require.Equal(t, "<b>\u2028 & text\n", text(t, resp, err))
		}
	}
	require.Empty(t, tp.run(test).reports)
	lines := strings.Split(string(tp.read()), "\n")
	require.Empty(t, tp.run(test).reports)
	again := strings.Split(string(tp.read()), "\n")
	require.Equal(t, len(lines), len(again))
	for i := range lines {
		if !strings.Contains(lines[i], `"_recorded"`) {
			require.Equal(t, lines[i], again[i])
		}
	}
	require.NotContains(t, string(tp.read()), "parley/", "no version of the program")
	info, err := os.Stat(tp.path)
	require.NoError(t, err)
	require.Zero(t, info.Mode().Perm()&0o111)
	entries, err := os.ReadDir(filepath.Dir(tp.path))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left beside it")
	tp.cfg.Mode = parleytest.ReplayOnly
	tp.live()
	tp.replay(test)
}

// What is added to a file leaves the rest of it as it was, hidden values too.
func TestCassette_addsToAFile(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{Mode: parleytest.RecordMissing, Secrets: []string{"in the path"}}, answersByNumber())
	get := func(paths ...string) func(*parleytest.Cassette, *parley.Client) {
		return func(_ *parleytest.Cassette, client *parley.Client) {
			for _, path := range paths {
				_, err := client.Post(t.Context(), path, parley.WithBearerToken("a.token.of.many.bytes"), parley.WithJSON(map[string]any{"token": 1, "password": "x", "a": "in the path"}))
				require.NoError(t, err)
			}
		}
	}
	require.Empty(t, tp.run(get("in%20the%20path/?token=x")).reports)
	first := string(tp.read())
	require.Empty(t, tp.run(get("in%20the%20path/?token=x", "b")).reports)
	second := string(tp.read())
	require.EqualValues(t, 2, tp.hits.Load())
	end := strings.LastIndex(first, "\n      }\n")
	require.Equal(t, first[:end], second[:end])
	tp.live()
	tp.replay(get("b", "other/?token=y"))
}

func TestCassette_edit(t *testing.T) {
	tp := newTape(t, parleytest.CassetteConfig{Edit: func(r *parleytest.Recording) bool {
		r.Body = []byte(strings.ReplaceAll(string(r.Body), "ann@example.com", "user@example.com"))
		return r.URL.Path != "/metrics"
	}}, func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "ann@example.com") })
	want := "ann@example.com"
	tp.record(func(_ *parleytest.Cassette, client *parley.Client) {
		resp, err := client.Get(t.Context(), "users")
		require.Equal(t, want, text(t, resp, err))
		_, err = client.Get(t.Context(), "metrics")
		require.NoError(t, err)
	})
	tp.replay(func(_ *parleytest.Cassette, client *parley.Client) {
		resp, err := client.Get(t.Context(), "users")
		require.Equal(t, "user@example.com", text(t, resp, err))
		_, err = client.Get(t.Context(), "metrics")
		require.ErrorIs(t, err, parleytest.ErrUnexpected)
	}, "/metrics is not in the cassette")
}

func TestCassette_sessions(t *testing.T) {
	t.Run("a login, a cookie and pages", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{ReportUnused: true}, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			c, err := r.Cookie("session")
			switch {
			case r.URL.Path == "/login":
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "a-very-long-secret"})
				_, _ = io.WriteString(w, `{"access_token": "another-long-secret", "expires_in": 3600}`)
			case err != nil || c.Value != "a-very-long-secret" || r.Header.Get("Authorization") != "Bearer another-long-secret":
				w.WriteHeader(http.StatusForbidden)
			default:
				fmt.Fprintf(w, `{"page": %q, "nextPageToken": "token-%s"}`, r.URL.Query().Get("pageToken"), r.URL.Query().Get("pageToken"))
			}
		})
		test := func(_ *parleytest.Cassette, client *parley.Client) {
			login, err := parley.As[struct {
				Token   string `json:"access_token"`
				Expires int    `json:"expires_in"`
			}](client.Post(t.Context(), "login", parley.WithForm(map[string]string{"user": "a", "password": "b"})))
			require.NoError(t, err)
			require.Equal(t, 3600, login.Expires)
			token := ""
			for range 3 {
				page, err := parley.As[struct{ Page, NextPageToken string }](client.Get(t.Context(), "list", parley.WithBearerToken(login.Token), parley.WithQuery("pageToken", token)))
				require.NoError(t, err)
				token = page.NextPageToken
			}
		}
		tp.record(test)
		require.NotContains(t, string(tp.read()), "long-secret")
		tp.replay(test)
	})
	t.Run("a challenge whose header is shown", func(t *testing.T) {
		tp := newTape(t, parleytest.CassetteConfig{Redaction: parley.Redaction{ShowHeaders: []string{"WWW-Authenticate"}}}, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "" {
				w.Header().Set("WWW-Authenticate", `Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"`)
				w.WriteHeader(http.StatusUnauthorized)
				_, _ = io.WriteString(w, "who are you?")
				return
			}
			_, _ = io.WriteString(w, "welcome")
		})
		test := func(_ *parleytest.Cassette, client *parley.Client) {
			auth, err := parley.DigestAuth("user", "password")
			require.NoError(t, err)
			resp, err := client.Get(t.Context(), "a", parley.WithAuth(auth))
			require.Equal(t, "welcome", text(t, resp, err))
		}
		tp.record(test)
		tp.replay(test)
	})
	t.Run("tries, each with its answer", func(t *testing.T) {
		var n atomic.Int64
		tp := newTape(t, parleytest.CassetteConfig{ReportUnused: true}, func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1) == 1 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusServiceUnavailable)
				_, _ = io.WriteString(w, strings.Repeat("later ", 1000))
				return
			}
			_, _ = io.WriteString(w, "now")
		})
		test := func(_ *parleytest.Cassette, client *parley.Client) {
			resp, err := client.Get(t.Context(), "a", parley.WithRetry(parley.RetryPolicy{}))
			require.Equal(t, "now", text(t, resp, err))
			require.Len(t, resp.Tries, 2)
		}
		tp.record(test)
		tp.replay(test)
	})
}

func TestCassette_writtenFilesAreArchives(t *testing.T) {
	atDesk(t)
	path := filepath.Join(t.TempDir(), "a.har")
	f := run(t, func(tb testing.TB) {
		c := parleytest.NewCassette(tb, path, parleytest.CassetteConfig{Through: parley.HandlerTransport(parleytest.Echo())})
		for _, opts := range [][]parley.RequestOption{
			nil, {parley.WithText("\x00\xff")}, {parley.WithTrailer("X-Sum", func() string { return "1" }), parley.WithReader(strings.NewReader("x"))}, {parley.WithHost("other.test")},
		} {
			resp, err := c.Send(t.Context(), mustRequest(t, "POST", "http://user:password@a.test/%5Bx%5D?a=b&&c&=d&%zz=1", opts...))
			require.NoError(t, err)
			_, err = resp.Bytes()
			require.NoError(t, err)
		}
	})
	require.Empty(t, f.reports)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, har.Check(data))
	require.NotContains(t, string(data), "password")
}
