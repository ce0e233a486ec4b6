package parley_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestBody_saysWhatItIsAndOpensAsOftenAsItCan(t *testing.T) {
	t.Parallel()
	type account struct {
		XMLName xml.Name `json:"-" url:"-" xml:"account"`
		Name    string   `json:"name" url:"name" xml:"name"`
		Tags    []string `json:"tags,omitempty" url:"tags,omitempty" xml:"tag,omitempty"`
	}
	must := func(b parley.Body, err error) parley.Body {
		t.Helper()
		require.NoError(t, err)
		return b
	}
	path := fileWith(t, "page.html", "<p>file</p>")
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	_, err = file.Seek(3, io.SeekStart)
	require.NoError(t, err)
	part := strings.NewReader("some text")
	_, err = part.Seek(5, io.SeekStart)
	require.NoError(t, err)
	for name, test := range map[string]struct {
		body              parley.Body
		content, typ      string
		unknown, onceOnly bool
	}{
		"bytes":          {parley.BytesBody([]byte("a\x00b"), "text/x"), "a\x00b", "text/x", false, false},
		"JSON":           {must(parley.JSONBody(account{Name: "<a&b> é"})), `{"name":"<a&b> é"}`, "application/json", false, false},
		"JSON of nil":    {must(parley.JSONBody(nil)), "null", "application/json", false, false},
		"JSON of text":   {must(parley.JSONBody("a")), `"a"`, "application/json", false, false},
		"XML":            {must(parley.XMLBody(account{Name: "a&b"})), xml.Header + "<account><name>a&amp;b</name></account>", "application/xml; charset=utf-8", false, false},
		"form":           {must(parley.FormBody(parley.Params{{Key: "b", Value: "1 2"}, {Key: "a", Value: "é&"}})), "b=1+2&a=%C3%A9%26", "application/x-www-form-urlencoded", false, false},
		"form of values": {must(parley.FormBody(url.Values{"b": {"2", "1"}, "a": {""}})), "a=&b=2&b=1", "application/x-www-form-urlencoded", false, false},
		"form of struct": {must(parley.FormBody(account{Name: "n", Tags: []string{"x", "y"}})), "name=n&tags=x&tags=y", "application/x-www-form-urlencoded", false, false},
		"empty form":     {must(parley.FormBody(nil)), "", "application/x-www-form-urlencoded", false, false},
		"file":           {must(parley.FileBody(path)), "<p>file</p>", "text/html; charset=utf-8", false, false},
		"nothing":        {parley.ReaderBody(nil), "", "", false, false},
		"bytes.Reader":   {parley.ReaderBody(bytes.NewReader([]byte("ab"))), "ab", "", false, false},
		"bytes.Buffer":   {parley.ReaderBody(bytes.NewBufferString("ab")), "ab", "", false, false},
		"rest of a text": {parley.ReaderBody(part), "text", "", false, false},
		"rest of a file": {parley.ReaderBody(file), "file</p>", "", false, false},
		"any reader":     {parley.ReaderBody(inParts("a", "b")), "ab", "", true, true},
	} {
		size := int64(len(test.content))
		if test.unknown {
			size = -1
		}
		require.Equal(t, size, test.body.Size(), name)
		require.Equal(t, test.typ, test.body.ContentType(), name)
		require.Equal(t, !test.onceOnly, test.body.Replayable(), name)
		for i := range 2 {
			r, err := test.body.Open()
			if i > 0 && test.onceOnly {
				require.ErrorIs(t, err, parley.ErrBodyNotRewindable, name)
				break
			}
			require.NoError(t, err, name)
			got, err := io.ReadAll(r)
			require.NoError(t, err, name)
			require.Equal(t, test.content, string(got), name)
			require.NoError(t, r.Close(), name)
		}
	}
}

func TestBody_ofAFileThatIsGoneIsAnErrorWhenItIsOpened(t *testing.T) {
	t.Parallel()
	path := fileWith(t, "a.unknown-kind", "x")
	body, err := parley.FileBody(path)
	require.NoError(t, err)
	require.Equal(t, "application/octet-stream", body.ContentType())
	require.NoError(t, os.Remove(path))
	_, err = body.Open()
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = parley.FileBody(filepath.Join(path, "below"))
	require.Error(t, err)
}

func TestBody_theTypeGivenWithTheCallWins(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHeader("Content-Type", "of/session"))
	for name, test := range map[string]struct {
		opts []parley.RequestOption
		want string
	}{
		"no body":                     {nil, "of/session"},
		"a body without a type":       {[]parley.RequestOption{parley.WithBytes([]byte("a"))}, "of/session"},
		"a body with one":             {[]parley.RequestOption{parley.WithJSON(1)}, "application/json"},
		"the request's":               {[]parley.RequestOption{parley.WithJSON(1), parley.WithHeader("content-type", "of/request")}, "of/request"},
		"the request's, before":       {[]parley.RequestOption{parley.WithHeader("content-type", "of/request"), parley.WithJSON(1)}, "of/request"},
		"removed":                     {[]parley.RequestOption{parley.WithJSON(1), parley.WithoutHeader("Content-Type")}, ""},
		"text":                        {[]parley.RequestOption{parley.WithText("a")}, "text/plain; charset=utf-8"},
		"of two bodies the last":      {[]parley.RequestOption{parley.WithText("a"), parley.WithForm(nil)}, "application/x-www-form-urlencoded"},
		"a body taken away by option": {[]parley.RequestOption{parley.WithText("a"), parley.WithBody(nil)}, "of/session"},
	} {
		req, err := c.NewRequest("POST", "x", test.opts...)
		require.NoError(t, err, name)
		require.Equal(t, test.want, req.Header.Get("Content-Type"), name)
	}
}

// closeCounter counts how often it was closed.
type closeCounter struct {
	io.Reader
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return nil
}

func TestReaderBody_isClosedOnceHoweverTheCallEnds(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	client := newSession(t, parley.WithBaseURL(server.URL()))
	for name, call := range map[string]struct {
		ref  string
		opts []parley.RequestOption
		ok   bool
	}{
		"sent":                          {"x", nil, true},
		"announced as empty":            {"x", []parley.RequestOption{parley.WithHeader("Content-Length", "0")}, true},
		"a URL that cannot be":          {"//elsewhere.test/", nil, false},
		"a placeholder without a value": {"{a}/{b}", []parley.RequestOption{parley.WithPath("a", "1")}, false},
		"an option that is wrong":       {"x", []parley.RequestOption{parley.WithHeader("bad name", "")}, false},
		"nobody there":                  {"http://127.0.0.1:1/", nil, false},
	} {
		source := &closeCounter{Reader: strings.NewReader("hello")}
		_, err := client.Post(t.Context(), call.ref, append([]parley.RequestOption{parley.WithReader(source)}, call.opts...)...)
		require.Equal(t, call.ok, err == nil, "%s: %v", name, err)
		require.EqualValues(t, 1, source.closed.Load(), name)
	}
}
