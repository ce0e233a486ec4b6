package parley_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// archived gives what a HAR has, checked against the rules of the format.
func archived(t testing.TB, h *parley.HAR) []har.Entry {
	t.Helper()
	var out bytes.Buffer
	n, err := h.WriteTo(&out)
	require.NoError(t, err)
	require.EqualValues(t, out.Len(), n)
	require.NoError(t, har.Check(out.Bytes()), out.String())
	f, err := har.Decode(&out, 1<<20)
	require.NoError(t, err)
	require.Equal(t, "parley", f.Log.Creator.Name)
	return f.Log.Entries
}

func TestHAR_hasAllOfARequestAndItsAnswer(t *testing.T) {
	t.Parallel()
	ca := wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, ca.Server(t), wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return "HTTP/1.1 201 Made\r\nContent-Type: image/x\r\nSet-Cookie: a=secret; Path=/p; Expires=Sat, 01 Jan 2028 00:00:00 GMT; Secure\r\nContent-Length: 4\r\n\r\n\x00\x01\x02\xff"
	}))
	h := parley.NewHAR(parley.HARConfig{})
	c := newSession(t, parley.WithHAR(h), parley.WithTLSConfig(ca.Trusted()), parley.WithHTTP2(parley.HTTP2Off))
	_, err := c.Post(t.Context(), s.URL()+"/x?q=a+b&password=p", parley.WithForm(map[string]string{"a": "1"}), parley.WithCookie("own", "secret"))
	require.NoError(t, err)
	e := archived(t, h)
	require.Len(t, e, 1)
	req, resp := e[0].Request, e[0].Response
	require.Equal(t, "POST", req.Method)
	require.Equal(t, s.URL()+"/x?q=a+b&password=[hidden]", req.URL)
	require.Equal(t, []har.Pair{{Name: "q", Value: "a b"}, {Name: "password", Value: "[hidden]"}}, req.QueryString)
	require.Equal(t, []har.Cookie{{Name: "own", Value: "[hidden]"}}, req.Cookies)
	require.Contains(t, req.Headers, har.Pair{Name: "Content-Length", Value: "3"})
	require.Equal(t, &har.PostData{MimeType: "application/x-www-form-urlencoded", Text: "a=1"}, req.PostData)
	require.EqualValues(t, 3, req.BodySize)
	require.Equal(t, 201, resp.Status)
	require.Equal(t, "Made", resp.StatusText)
	require.Equal(t, "HTTP/1.1", resp.HTTPVersion)
	require.Equal(t, []har.Cookie{{Name: "a", Value: "[hidden]", Path: "/p", Expires: "2028-01-01T00:00:00Z", Secure: true}}, resp.Cookies)
	require.Equal(t, har.Content{Size: 4, MimeType: "image/x", Text: "AAEC/w==", Encoding: "base64"}, resp.Content)
	body, err := resp.Content.Bytes()
	require.NoError(t, err)
	require.Equal(t, "\x00\x01\x02\xff", string(body))
	require.Positive(t, e[0].Timings.SSL)
	require.Positive(t, e[0].Timings.Wait)
	require.Equal(t, "127.0.0.1", e[0].ServerIP)
}

func TestHAR_failedAndRedirected(t *testing.T) {
	t.Parallel()
	s := tale(t)
	h := parley.NewHAR(parley.HARConfig{})
	c := newSession(t, parley.WithHAR(h))
	_, err := c.Get(t.Context(), s.URL()+"/from")
	require.NoError(t, err)
	_, failed := c.Get(t.Context(), s.URL()+"/cut")
	require.Error(t, failed)
	_, refused := c.Get(t.Context(), "http://127.0.0.1:1/")
	require.Error(t, refused)
	e := archived(t, h)
	require.Len(t, e, 4)
	require.Equal(t, []any{307, "/to"}, []any{e[0].Response.Status, e[0].Response.RedirectURL})
	require.Equal(t, []any{200, "hello"}, []any{e[1].Response.Status, e[1].Response.Content.Text})
	require.Equal(t, []any{200, "short", failed.Error()}, []any{e[2].Response.Status, e[2].Response.Content.Text, e[2].Response.Error})
	require.Equal(t, []any{0, refused.Error()}, []any{e[3].Response.Status, e[3].Response.Error})
}

func TestHAR_isBounded(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := w.Write(bytes.Repeat([]byte("x"), 10_000))
		if err != nil {
			panic(err)
		}
	})))
	fill := func(cfg parley.HARConfig) (*parley.HAR, []har.Entry) {
		h := parley.NewHAR(cfg)
		for _, path := range []string{"1", "2", "3", "4"} {
			_, err := c.Get(t.Context(), path, parley.WithHAR(h))
			require.NoError(t, err)
		}
		return h, archived(t, h)
	}
	_, e := fill(parley.HARConfig{MaxBodyBytes: 10})
	require.Len(t, e, 4)
	require.Equal(t, har.Content{Size: 10_000, MimeType: "text/plain; charset=utf-8", Text: "xxxxxxxxxx", Comment: "the first 10 of 10000 bytes"}, e[0].Response.Content)
	_, e = fill(parley.HARConfig{MaxBodyBytes: -1})
	require.Empty(t, e[0].Response.Content.Text)
	require.EqualValues(t, 10_000, e[0].Response.Content.Size)
	_, e = fill(parley.HARConfig{MaxEntries: 2})
	require.Len(t, e, 2)
	require.Equal(t, "http://a.test/3", e[0].Request.URL)
	h, e := fill(parley.HARConfig{MaxBytes: 30_000})
	require.Len(t, e, 2)
	require.Equal(t, "<HAR of 2 requests>", h.String())
	h.Reset()
	require.Empty(t, archived(t, h))
}

func TestHAR_Save(t *testing.T) {
	t.Parallel()
	h := parley.NewHAR(parley.HARConfig{})
	path := filepath.Join(t.TempDir(), "calls.har")
	require.NoError(t, h.Save(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, har.Check(data))
	if info, err := os.Stat(path); runtime.GOOS != "windows" {
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	}
	require.ErrorIs(t, h.Save(filepath.Join(t.TempDir(), "none", "calls.har")), os.ErrNotExist)
}

func TestHAR_checkerIsStrict(t *testing.T) {
	t.Parallel()
	h := parley.NewHAR(parley.HARConfig{})
	c := newSession(t, parley.WithHAR(h), parley.WithHandler(http.NotFoundHandler()))
	_, err := c.Post(t.Context(), "http://a.test/?q", parley.WithText("x"))
	require.NoError(t, err)
	var out bytes.Buffer
	_, err = h.WriteTo(&out)
	require.NoError(t, err)
	require.NoError(t, har.Check(out.Bytes()))
	// A field that is taken away, has a name of its own or another type is noticed.
	for field, free := range map[string]bool{
		"version": false, "creator": false, "entries": false, "startedDateTime": false, "time": false, "request": false, "url": false,
		"headers": false, "queryString": false, "cookies": false, "content": false, "mimeType": false, "redirectURL": false, "cache": false,
		"timings": false, "wait": false, "status": false, "bodySize": false, "blocked": true, "postData": true, "encoding": true,
	} {
		quoted := `"` + field + `":`
		renamed := strings.Replace(out.String(), quoted, `"x`+field+`":`, 1)
		if renamed == out.String() {
			require.True(t, free, field)
			continue
		}
		require.Error(t, har.Check([]byte(renamed)), field)
		missing := strings.Replace(out.String(), quoted, `"_`+field+`":`, 1)
		require.Equal(t, free, har.Check([]byte(missing)) == nil, field)
		var value json.RawMessage
		require.NoError(t, json.NewDecoder(strings.NewReader(out.String()[strings.Index(out.String(), quoted)+len(quoted):])).Decode(&value))
		require.Error(t, har.Check([]byte(strings.Replace(out.String(), quoted, quoted+`true,"_x":`, 1))), field)
	}
}
