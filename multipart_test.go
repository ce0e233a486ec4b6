package parley_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// multipartOf makes a body and gives it with its boundary.
func multipartOf(t testing.TB, parts ...parley.Part) (parley.Body, string) {
	t.Helper()
	body, err := parley.MultipartBody(parts...)
	require.NoError(t, err)
	kind, params, err := mime.ParseMediaType(body.ContentType())
	require.NoError(t, err)
	require.Equal(t, "multipart/form-data", kind)
	return body, params["boundary"]
}

// contentOf reads a body from its beginning to its end. The boundary is B.
func contentOf(t testing.TB, body parley.Body, boundary string) string {
	t.Helper()
	r, err := body.Open()
	require.NoError(t, err)
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	if body.Size() >= 0 {
		require.EqualValues(t, len(b), body.Size())
	}
	return strings.ReplaceAll(string(b), boundary, "B")
}

func TestMultipart_isWrittenAsBrowsersDo(t *testing.T) {
	t.Parallel()
	body, err := parley.JSONBody(map[string]int{"a": 1})
	require.NoError(t, err)
	for name, test := range map[string]struct {
		parts []parley.Part
		want  string
	}{
		"no part":         {nil, "--B--\r\n"},
		"fields in order": {[]parley.Part{parley.FormField("b", "1"), parley.FormField("a", ""), parley.FormField("b", "é\r\n")}, "--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\n1\r\n--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n\r\n--B\r\nContent-Disposition: form-data; name=\"b\"\r\n\r\né\r\n\r\n--B--\r\n"},
		"bytes":           {[]parley.Part{parley.FormBytes("f", "a.png", []byte("\x00"))}, "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\x00\r\n--B--\r\n"},
		"no body":         {[]parley.Part{{Name: "f"}}, "--B\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n\r\n--B--\r\n"},
		"JSON":            {[]parley.Part{parley.FormJSON("f", []int{1})}, "--B\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Type: application/json\r\n\r\n[1]\r\n--B--\r\n"},
		"the body's type": {[]parley.Part{{Name: "f", FileName: "a.png", Body: body}}, "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--B--\r\n"},
		"further headers": {[]parley.Part{{Name: "f", ContentType: "text/x", Header: http.Header{"X-B": {"1", "2"}, "x-a": {"é"}, "Content-Type": {"text/y"}}}},
			"--B\r\nContent-Disposition: form-data; name=\"f\"\r\nContent-Type: text/x\r\nX-A: é\r\nX-B: 1\r\nX-B: 2\r\n\r\n\r\n--B--\r\n"},
		"its type in the header": {[]parley.Part{{Name: "f", FileName: "a.png", Header: http.Header{"content-type": {"text/y; a=b"}}}}, "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: text/y; a=b\r\n\r\n\r\n--B--\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			body, boundary := multipartOf(t, test.parts...)
			require.True(t, body.Replayable())
			for range 2 {
				require.Equal(t, test.want, contentOf(t, body, boundary))
			}
			// The same through sources of unknown length, in pieces of any size.
			var parts []parley.Part
			for _, p := range test.parts {
				if p.Body != nil && (p.ContentType != "" || p.FileName == "" && p.Body.ContentType() == "") {
					p.Body = slowBody(t, p.Body)
				}
				parts = append(parts, p)
			}
			body, boundary = multipartOf(t, parts...)
			r, err := body.Open()
			require.NoError(t, err)
			got, err := io.ReadAll(iotest.OneByteReader(r))
			require.NoError(t, err)
			require.Equal(t, test.want, strings.ReplaceAll(string(got), boundary, "B"))
		})
	}
}

// slowBody gives the content of a body piece by piece, without a length.
func slowBody(t *testing.T, from parley.Body) parley.Body {
	t.Helper()
	r, err := from.Open()
	require.NoError(t, err)
	content, err := io.ReadAll(r)
	require.NoError(t, err)
	return parley.ReaderBody(iotest.DataErrReader(iotest.HalfReader(bytes.NewReader(content))))
}

func TestFormFields_areWrittenByTheRulesOfForms(t *testing.T) {
	t.Parallel()
	type form struct {
		Name string   `url:"name"`
		Tags []string `url:"tag"`
	}
	for name, test := range map[string]struct {
		from any
		want []string
	}{
		"nothing": {nil, nil},
		"params":  {parley.Params{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}}, []string{"b=1", "a=2"}},
		"values":  {url.Values{"b": {"2", "1"}, "a": {""}}, []string{"a=", "b=2", "b=1"}},
		"a map":   {map[string]any{"t": true, "nil": nil, "n": []any{1, nil, 2.5}}, []string{"n=1", "n=2.5", "t=true"}},
		"struct":  {form{"n", []string{"x", "y"}}, []string{"name=n", "tag=x", "tag=y"}},
	} {
		body, boundary := multipartOf(t, parley.FormFields(test.from)...)
		r, err := body.Open()
		require.NoError(t, err, name)
		var got []string
		for m := multipart.NewReader(r, boundary); ; {
			p, err := m.NextPart()
			if err == io.EOF {
				break
			}
			require.NoError(t, err, name)
			value, err := io.ReadAll(p)
			require.NoError(t, err, name)
			got = append(got, p.FormName()+"="+string(value))
		}
		require.Equal(t, test.want, got, name)
	}
	_, err := parley.MultipartBody(append(parley.FormFields(7), parley.FormField("a", "b"))...)
	require.ErrorContains(t, err, "parameters from int")
}

func TestMultipart_aFileHasTheTypeOfItsExtensionOrOfItsFirstBytes(t *testing.T) {
	t.Parallel()
	const png, html = "\x89PNG\r\n\x1a\n", "<!DOCTYPE html><p>"
	for name, test := range map[string]struct {
		part parley.Part
		want string
	}{
		"extension":                     {parley.FormBytes("f", "a.pdf", []byte(png)), "application/pdf"},
		"upper case":                    {parley.FormBytes("f", "a.PDF", nil), "application/pdf"},
		"text without a charset":        {parley.FormBytes("f", "a.html", []byte("caf\xe9")), "text/html"},
		"the last extension":            {parley.FormBytes("f", "a.tar.gz", nil), "application/gzip"},
		"no extension, in memory":       {parley.FormBytes("f", "a", []byte(png)), "image/png"},
		"unknown extension":             {parley.FormBytes("f", "a.unknown-kind", []byte(html)), "text/html"},
		"an extension of a directory":   {parley.FormBytes("f", "a.pdf/a", []byte(png)), "image/png"},
		"no name but an extension":      {parley.FormBytes("f", ".pdf", []byte(png)), "application/pdf"},
		"an empty file":                 {parley.FormBytes("f", "a", nil), "text/plain"},
		"UTF-16 by its mark":            {parley.FormBytes("f", "a", []byte("\xff\xfea\x00")), "text/plain; charset=utf-16le"},
		"file, by extension":            {parley.FormFile("f", fileWith(t, "a.pdf", html)), "application/pdf"},
		"file, by its first bytes":      {parley.FormFile("f", fileWith(t, "a", html)), "text/html"},
		"file shorter than that":        {parley.FormFile("f", fileWith(t, "a", "")), "text/plain"},
		"file longer than that":         {parley.FormFile("f", fileWith(t, "a", png+strings.Repeat("x", 600))), "image/png"},
		"reader in memory":              {parley.FormReader("f", "a", strings.NewReader(html)), "text/html"},
		"open file, from where it is":   {parley.FormReader("f", "a", openAt(t, fileWith(t, "a", "xx"+png), 2)), "image/png"},
		"a reader is not read ahead":    {parley.FormReader("f", "a", inParts(html)), "application/octet-stream"},
		"a Body with a type of its own": {parley.Part{Name: "f", FileName: "a.pdf", Body: &ownBody{}}, "text/x-own"},
		"a plain field has none":        {parley.FormBytes("f", "", []byte(png)), ""},
	} {
		body, boundary := multipartOf(t, test.part)
		r, err := body.Open()
		require.NoError(t, err, name)
		p, err := multipart.NewReader(r, boundary).NextPart()
		require.NoError(t, err, name)
		require.Equal(t, test.want, p.Header.Get("Content-Type"), name)
		require.NoError(t, r.Close(), name)
	}
}

func TestMultipart_knowsItsLengthAndWhetherItCanBeSentAgain(t *testing.T) {
	t.Parallel()
	file := fileWith(t, "a.txt", "in a file")
	known := []parley.Part{parley.FormField("a", "b"), parley.FormFile("f", file), parley.FormReader("r", "", strings.NewReader("text"))}
	body, boundary := multipartOf(t, known...)
	require.True(t, body.Replayable())
	first := contentOf(t, body, boundary) // compares the length too
	require.Contains(t, first, "\r\n\r\nin a file\r\n--B\r\n")
	require.Equal(t, first, contentOf(t, body, boundary))

	body, boundary = multipartOf(t, append(known, parley.FormReader("o", "o", inParts("o", "nce")))...)
	require.False(t, body.Replayable())
	require.EqualValues(t, -1, body.Size())
	require.Contains(t, contentOf(t, body, boundary), "\r\n\r\nonce\r\n--B--")
	_, err := body.Open()
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)

	huge, _ := multipartOf(t, parley.Part{Name: "a", Body: &ownBody{size: math.MaxInt64}}, parley.Part{Name: "b", Body: &ownBody{size: -7}})
	require.EqualValues(t, -1, huge.Size(), "more than there are numbers for")
}

func TestMultipart_isNotBegunTwiceByReadersThatAreOpenAtOnce(t *testing.T) {
	t.Parallel()
	once := parley.FormReader("o", "o", inParts("once"))
	body, _ := multipartOf(t, parley.FormField("a", "b"), once)
	first, err := body.Open()
	require.NoError(t, err)
	second, err := body.Open()
	require.NoError(t, err, "nothing was read yet")
	_, err = io.ReadAll(first)
	require.NoError(t, err)
	got, err := io.ReadAll(second)
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
	require.Empty(t, got, "not even a beginning")

	again, _ := multipartOf(t, parley.FormField("a", "b"), once)
	_, err = again.Open()
	require.ErrorIs(t, err, parley.ErrBodyNotRewindable, "another body has used up the reader")
}

func TestMultipart_opensPartsOneAfterTheOtherAndClosesEach(t *testing.T) {
	t.Parallel()
	parts := []*ownBody{{parts: []string{"a"}, size: 1}, {parts: []string{"b", "c"}, size: 2}, {parts: []string{"d"}, size: -1}}
	body, _ := multipartOf(t, parley.Part{Name: "a", Body: parts[0]}, parley.Part{Name: "b", Body: parts[1]}, parley.Part{Name: "c", Body: parts[2]})
	counts := func() (opened, closed [3]int64) {
		for i, p := range parts {
			opened[i], closed[i] = p.opened.Load(), p.closed.Load()
		}
		return opened, closed
	}
	r, err := body.Open()
	require.NoError(t, err)
	opened, _ := counts()
	require.Zero(t, opened, "before the first Read")
	readUntil(t, r, "\r\n\r\nb")
	opened, closed := counts()
	require.Equal(t, [3]int64{1, 1, 0}, opened)
	require.Equal(t, [3]int64{1, 0, 0}, closed)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, closed = counts()
	require.Equal(t, [3]int64{1, 1, 0}, closed)
	_, err = r.Read(make([]byte, 9))
	require.ErrorIs(t, err, os.ErrClosed)

	r, err = body.Open()
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	require.NoError(t, r.Close())
	_, err = r.Read(make([]byte, 9))
	require.ErrorIs(t, err, io.EOF)
	opened, closed = counts()
	require.Equal(t, [3]int64{2, 2, 1}, opened)
	require.Equal(t, opened, closed)
}

// readUntil reads byte by byte until what was read ends with want.
func readUntil(t *testing.T, r io.Reader, want string) {
	t.Helper()
	var got []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(got), want); got = append(got, b...) {
		_, err := io.ReadFull(r, b)
		require.NoError(t, err)
	}
}

// closeTells has its own word about how it ends.
type closeTells struct {
	io.Reader
	close func() error
}

func (r closeTells) Close() error { return r.close() }

func TestMultipart_aPartThatIsNotWhatItSaidFailsTheBody(t *testing.T) {
	t.Parallel()
	why := errors.New("disk on fire")
	for name, test := range map[string]struct {
		body parley.Body
		want string
		kind error
	}{
		"shorter":              {&ownBody{parts: []string{"xy"}, size: 5}, "part 1 (f) of the multipart body ended after 2 of 5 bytes", parley.ErrLocalProtocol},
		"empty":                {&ownBody{size: 5}, "ended after 0 of 5 bytes", parley.ErrLocalProtocol},
		"longer":               {&ownBody{parts: []string{"xy", "zw"}, size: 3}, "longer than the announced 3 bytes", parley.ErrLocalProtocol},
		"not empty":            {&ownBody{parts: []string{"xy"}, size: 0}, "longer than the announced 0 bytes", parley.ErrLocalProtocol},
		"failing":              {parley.ReaderBody(io.MultiReader(strings.NewReader("a"), iotest.ErrReader(why))), "part 1 (f) of the multipart body: disk on fire", why},
		"failing when closed":  {parley.ReaderBody(closeTells{inParts("a"), func() error { return why }}), "disk on fire", why},
		"of an impossible sum": {parley.ReaderBody(readerFunc(func(p []byte) (int, error) { return len(p) + 1, nil })), "impossible count", nil},
	} {
		t.Run(name, func(t *testing.T) {
			body, boundary := multipartOf(t, parley.Part{Name: "f", Body: test.body}, parley.FormField("g", "x"))
			for _, size := range []int{1, 4096} {
				r, err := body.Open()
				if !body.Replayable() && size > 1 {
					require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
					break
				}
				require.NoError(t, err)
				var got strings.Builder
				_, err = io.CopyBuffer(&got, struct{ io.Reader }{r}, make([]byte, size))
				require.ErrorContains(t, err, test.want)
				if test.kind != nil {
					require.ErrorIs(t, err, test.kind)
				}
				_, again := r.Read(make([]byte, 1))
				require.Equal(t, err, again, "an error stays")
				require.NotContains(t, got.String(), "\r\n--"+boundary, "nothing comes after it")
				require.NotContains(t, got.String(), "xyzw", "more than was announced; no boundary, in hexadecimal, holds it")
				require.NoError(t, r.Close())
			}
		})
	}
}

func TestMultipart_aPartThatCannotBeOpenedFailsTheBody(t *testing.T) {
	t.Parallel()
	path := fileWith(t, "a.txt", "x")
	body, _ := multipartOf(t, parley.FormField("a", "b"), parley.FormFile("f", path))
	require.NoError(t, os.Remove(path))
	r, err := body.Open()
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "part 2 (f)")
	require.NoError(t, r.Close())
}

func TestMultipart_givesAsMuchAsThereIsAndWaitsForNothing(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	source, end := io.Pipe()
	var parts []parley.Part
	file := fileWith(t, "a", "x")
	for range 50 {
		parts = append(parts, parley.FormField("a", "b"), parley.FormFile("f", file), parley.FormReader("r", "r", strings.NewReader("y")))
	}
	parts = append(parts, parley.FormReader("p", "p", source), parley.FormFile("f", file))
	body, boundary := multipartOf(t, parts...)
	r, err := body.Open()
	require.NoError(t, err)
	buf := make([]byte, 64<<10)
	n, err := r.Read(buf)
	require.NoError(t, err)
	require.Equal(t, len(parts)-1, strings.Count(string(buf[:n]), boundary), "all that is there, and the head of the part to come")
	for _, text := range []string{"as", "it", "comes"} {
		go func() { _, _ = end.Write([]byte(text)) }() // its end is that of the Read below
		n, err = r.Read(buf)
		require.NoError(t, err)
		require.Equal(t, text, string(buf[:n]))
	}
	require.NoError(t, end.Close())
	n, err = r.Read(buf)
	require.ErrorIs(t, err, io.EOF)
	require.True(t, strings.HasSuffix(string(buf[:n]), "\r\n\r\nx\r\n--"+boundary+"--\r\n"))
	require.NoError(t, r.Close())
}

func TestMultipart_closeUnblocksAReadThatWaits(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	source, end := io.Pipe()
	body, _ := multipartOf(t, parley.FormReader("f", "f", source))
	r, err := body.Open()
	require.NoError(t, err)
	readUntil(t, r, "\r\n\r\n")
	done := make(chan error)
	reading := make(chan struct{})
	go func() {
		close(reading)
		_, err := r.Read(make([]byte, 9))
		done <- err
	}()
	<-reading
	require.NoError(t, r.Close())
	require.ErrorIs(t, <-done, os.ErrClosed)
	_, err = end.Write([]byte("x"))
	require.ErrorIs(t, err, io.ErrClosedPipe, "the source was closed")
}

// openingBody tells when it is opened and waits to be let go.
type openingBody struct {
	ownBody
	opening, opened chan struct{}
}

func (b *openingBody) Open() (io.ReadCloser, error) {
	close(b.opening)
	<-b.opened
	return b.ownBody.Open()
}

func TestMultipart_aPartOpenedDuringCloseIsClosedToo(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	source := &openingBody{ownBody{parts: []string{"a"}, size: 1}, make(chan struct{}), make(chan struct{})}
	body, _ := multipartOf(t, parley.Part{Name: "f", Body: source})
	r, err := body.Open()
	require.NoError(t, err)
	done := make(chan error)
	go func() {
		_, err := io.ReadAll(r)
		done <- err
	}()
	<-source.opening
	require.NoError(t, r.Close())
	close(source.opened)
	require.ErrorIs(t, <-done, os.ErrClosed)
	require.EqualValues(t, 1, source.closed.Load())
}

func TestMultipart_tellsWhatIsWrongWithAPart(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing")
	for name, test := range map[string]struct {
		part parley.Part
		kind error
		want string
	}{
		"no name":             {parley.Part{}, nil, "part 2 () of the multipart body: invalid option: it has no name"},
		"no such file":        {parley.FormFile("f", missing), fs.ErrNotExist, "part 2 (f)"},
		"a directory":         {parley.FormFile("f", t.TempDir()), nil, "not a regular file"},
		"what JSON has not":   {parley.FormJSON("f", make(chan int)), nil, "encode chan int as JSON"},
		"Content-Disposition": {parley.Part{Name: "f", Header: http.Header{"content-disposition": {"x"}}}, parley.ErrInvalidHeader, "made from Name and FileName"},
		"two types":           {parley.Part{Name: "f", Header: http.Header{"Content-Type": {"a/b", "a/c"}}}, parley.ErrInvalidHeader, "not one media type"},
	} {
		_, err := parley.MultipartBody(parley.FormField("a", "b"), test.part)
		require.ErrorContains(t, err, test.want, name)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, name)
		}
	}
}

// What is allocated in all, whether it is freed again or not, must not grow with the
// file. Some 100 MiB of its 4 GiB show that. It runs alone, as others allocate too.
func TestMultipart_aLargeFileTakesNoMemory(t *testing.T) {
	const size, bound = 128 << 20, 1 << 20
	path := filepath.Join(t.TempDir(), "sparse.bin")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, os.Truncate(path, 4<<30))
	body, _ := multipartOf(t, parley.FormField("a", "b"), parley.FormFile("f", path))
	require.Greater(t, body.Size(), int64(4<<30))
	r, err := body.Open()
	require.NoError(t, err)
	defer r.Close()
	buf := make([]byte, 64<<10)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, io.LimitReader(r, size), buf)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(bound))
}
