package parley_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// formServer answers with the parts of what it was sent, one a line, in order.
func formServer(t *testing.T) *wiretest.Server {
	t.Helper()
	return wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			return wiretest.OK(err.Error())
		}
		var b strings.Builder
		for m := multipart.NewReader(bytes.NewReader(r.Content), params["boundary"]); ; {
			p, err := m.NextPart()
			if err == io.EOF {
				return wiretest.OK(b.String())
			} else if err != nil {
				return wiretest.OK(err.Error())
			}
			content, err := io.ReadAll(p)
			fmt.Fprintf(&b, "%s %s %s %d %v\n", p.FormName(), p.FileName(), p.Header.Get("Content-Type"), len(content), err)
		}
	}))
}

func TestWithMultipart_arrivesHoweverItIsSent(t *testing.T) {
	t.Parallel()
	s := formServer(t)
	c := sessionTo(t, s)
	large := bytes.Repeat([]byte("0123456789"), 100_000)
	file := fileWith(t, "a.pdf", string(large))
	for name, test := range map[string]struct {
		parts    []parley.Part
		framing  string
		expected string
	}{
		"in memory, small": {[]parley.Part{parley.FormField("a", "b"), parley.FormBytes("f", "x.png", []byte("12345"))},
			"\r\nContent-Length: ", "a   1 <nil>\nf x.png image/png 5 <nil>\n"},
		"in memory, large": {[]parley.Part{parley.FormBytes("f", "x.png", large), parley.FormField("a", "b")},
			"\r\nContent-Length: ", "f x.png image/png 1000000 <nil>\na   1 <nil>\n"},
		"a file": {[]parley.Part{parley.FormFile("f", file), parley.FormField("a", "b")},
			"\r\nContent-Length: ", "f a.pdf application/pdf 1000000 <nil>\na   1 <nil>\n"},
		"a reader of unknown length": {[]parley.Part{parley.FormField("a", "b"), parley.FormReader("f", "x", io.MultiReader(bytes.NewReader(large))), parley.FormFile("g", file)},
			"\r\nTransfer-Encoding: chunked\r\n", "a   1 <nil>\nf x application/octet-stream 1000000 <nil>\ng a.pdf application/pdf 1000000 <nil>\n"},
		"nothing": {nil, "\r\nContent-Length: 38\r\n", ""},
	} {
		req, err := c.NewRequest("POST", "up", parley.WithMultipart(test.parts...))
		require.NoError(t, err, name)
		for i := range 2 {
			before := len(s.Text())
			resp, err := c.Send(t.Context(), req)
			if i > 0 && !req.Body.Replayable() {
				require.ErrorIs(t, err, parley.ErrBodyNotRewindable, name)
				require.Len(t, s.Text(), before, "%s: not a byte of the second try", name)
				break
			}
			require.NoError(t, err, name)
			text, err := resp.Text()
			require.NoError(t, err, name)
			require.Equal(t, test.expected, text, name)
			head, _, _ := strings.Cut(s.Text()[before:], "\r\n\r\n")
			require.Contains(t, head+"\r\n", test.framing, name)
			require.Contains(t, head, "\r\nContent-Type: multipart/form-data; boundary=", name)
		}
	}
	require.Equal(t, 1, s.Accepted())
}

func TestWithMultipart_aBodyThatFailsFailsTheRequest(t *testing.T) {
	t.Parallel()
	s := formServer(t)
	c := sessionTo(t, s)
	short := parley.Part{Name: "f", Body: &ownBody{parts: []string{"ab"}, size: 5}}
	long := parley.Part{Name: "g", Body: &ownBody{parts: []string{"abc", "defg"}, size: 4}} // in all, the length is right
	_, err := c.Post(t.Context(), "up", parley.WithMultipart(short, long))
	require.ErrorIs(t, err, parley.ErrLocalProtocol)
	require.ErrorContains(t, err, "part 1 (f) of the multipart body ended after 2 of 5 bytes")
	var e *parley.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, parley.PhaseWrite, e.Phase)
	require.Zero(t, c.Stats().Idle)
}

func TestWithMultipart_theCallersContentTypeNamesTheBoundary(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithHeader("Content-Type", "of/session"))
	parts := []parley.Part{parley.FormField("a", "b"), parley.FormReader("f", "x", inParts("c"))}
	body, random := multipartOf(t, parts[:1]...)
	for name, test := range map[string]struct {
		given, want string // B is a random boundary
		boundary    string
	}{
		"nothing":                   {"", "multipart/form-data; boundary=B", ""},
		"a boundary":                {"multipart/form-data; boundary=own", "multipart/form-data; boundary=own", "own"},
		"a quoted one":              {`multipart/form-data; boundary="a b:c"`, `multipart/form-data; boundary="a b:c"`, "a b:c"},
		"in any case":               {"Multipart/Form-Data;BOUNDARY=Own", "Multipart/Form-Data;BOUNDARY=Own", "Own"},
		"with other parameters":     {"multipart/related; type=a; boundary=own", "multipart/related; type=a; boundary=own", "own"},
		"no boundary":               {"multipart/mixed", "multipart/mixed; boundary=B", ""},
		"no boundary, parameters":   {"multipart/related; type=a;", "multipart/related; type=a; boundary=B", ""},
		"something else altogether": {"application/x-own", "application/x-own", ""},
	} {
		opts := []parley.RequestOption{parley.WithBody(body)}
		if test.given != "" {
			opts = append(opts, parley.WithHeader("Content-Type", test.given))
		}
		req, err := c.NewRequest("POST", "up", opts...)
		require.NoError(t, err, name)
		want := test.boundary
		if want == "" {
			want = random
		}
		require.Equal(t, test.want, strings.ReplaceAll(req.Header.Get("Content-Type"), random, "B"), name)
		require.Equal(t, "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--B--\r\n", contentOf(t, req.Body, want), name)

		// The same said afterwards, of a body that has a source.
		req, err = c.NewRequest("POST", "up", parley.WithMultipart(parts...))
		require.NoError(t, err, name)
		if test.boundary != "" {
			req, err = req.With(parley.WithHeader("Content-Type", test.given))
			require.NoError(t, err, name)
			require.Equal(t, []string{test.given}, req.Header["Content-Type"], name)
			r, err := req.Body.Open()
			require.NoError(t, err, name)
			readUntil(t, r, "--"+test.boundary+"\r\n")
			require.NoError(t, r.Close())
			_, err = req.Body.Open()
			require.ErrorIs(t, err, parley.ErrBodyNotRewindable, name)
			parts[1] = parley.FormReader("f", "x", inParts("c"))
		}
	}
	require.Equal(t, `multipart/form-data; boundary="a b:c"`, func() string {
		req, err := c.NewRequest("POST", "up", parley.WithBody(body), parley.WithHeader("Content-Type", `multipart/form-data; boundary="a b:c"`))
		require.NoError(t, err)
		return req.Body.ContentType()
	}())
}

func TestWithMultipart_closesEveryReaderOnceHoweverTheCallEnds(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Echo())
	client := newSession(t, parley.WithBaseURL(server.URL()))
	for name, call := range map[string]struct {
		ref  string
		part parley.Part
		ok   bool
	}{
		"sent":                 {"x", parley.FormField("a", "b"), true},
		"a URL that cannot be": {"//elsewhere.test/", parley.FormField("a", "b"), false},
		"a part that is wrong": {"x", parley.Part{}, false},
		"a part that fails":    {"x", parley.Part{Name: "a", Body: &ownBody{size: 1}}, false},
		"nobody there":         {"http://127.0.0.1:1/", parley.FormField("a", "b"), false},
	} {
		before := &closeCounter{Reader: strings.NewReader("hello")}
		after := &closeCounter{Reader: strings.NewReader("hello")}
		_, err := client.Post(t.Context(), call.ref, parley.WithMultipart(parley.FormReader("b", "b", before), call.part, parley.FormReader("c", "c", after)))
		require.Equal(t, call.ok, err == nil, "%s: %v", name, err)
		require.EqualValues(t, 1, before.closed.Load(), name)
		require.EqualValues(t, 1, after.closed.Load(), name)
	}
}

// A redirect that comes before the body was asked for leaves its readers alone.
func TestWithMultipart_isStillThereWhenTheServerDidNotAskForIt(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		head, err := c.ReadHead()
		if err != nil {
			return
		}
		if strings.HasPrefix(head, "POST /a ") {
			c.Say("HTTP/1.1 307 Temporary Redirect\r\nLocation: /b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			return
		}
		c.Say("HTTP/1.1 100 Continue\r\n\r\n")
		req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(strings.NewReader(head), c.Reader)))
		if err != nil {
			return
		}
		content, err := io.ReadAll(req.Body)
		c.Say(wiretest.OK(fmt.Sprint(strings.Contains(string(content), "\r\n\r\nhello\r\n--"), err)))
	})
	c := sessionTo(t, s)
	source := &closeCounter{Reader: strings.NewReader("hello")}
	resp, err := c.Post(t.Context(), "a", parley.WithMultipart(parley.FormReader("f", "f", source)), parley.WithHeader("Expect", "100-continue"),
		parley.WithExpectTimeout(parley.NoTimeout))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "true <nil>", text)
	require.EqualValues(t, 1, source.closed.Load())
}

// onceOwn is a Body of somebody's own that can be opened once.
type onceOwn struct {
	ownBody
	used atomic.Bool
}

func (b *onceOwn) Replayable() bool { return false }
func (b *onceOwn) Open() (io.ReadCloser, error) {
	if b.used.Swap(true) {
		return nil, parley.ErrBodyNotRewindable
	}
	return b.ownBody.Open()
}

func TestWithMultipart_takesABodyOfTheCallersThatCanBeReadOnce(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Echo())
	c := sessionTo(t, s)
	form := parley.WithMultipart(parley.Part{Name: "f", Body: &onceOwn{ownBody: ownBody{parts: []string{"own"}, size: -1}}})
	_, err := c.Post(t.Context(), "up", form)
	require.NoError(t, err)
	require.Contains(t, s.Text(), "own")
	_, err = c.Post(t.Context(), "up", form)
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
}
