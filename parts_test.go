package parley_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// multipartAnswer makes a response of the type with a body that is not read yet.
func multipartAnswer(contentType string, body io.Reader) *parley.Response {
	resp := unread(body)
	resp.Header = http.Header{"Content-Type": {contentType}}
	return resp
}

// partsOf gives every part as one line, and what ended the loop.
func partsOf(resp *parley.Response) (got []string, last error) {
	for part, err := range resp.Parts() {
		if err != nil {
			return got, err
		}
		content, err := io.ReadAll(part.Body)
		if err != nil {
			return got, err
		}
		line := fmt.Sprintf("%s %q", part.Header.Get("Content-Type"), content)
		if part.Range != nil {
			line += fmt.Sprint(" ", *part.Range)
		}
		got = append(got, line)
	}
	return got, nil
}

func TestParts_areGivenOneByOne(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		typ, body string
		want      []string
	}{
		"mixed": {
			`multipart/mixed; boundary="a b"`, "preamble\r\n--a b\r\nContent-Type: text/plain\r\n\r\none\r\ntwo\r\n--a b  \r\n\r\n--a\r\n--a b--\r\nepilogue",
			[]string{`text/plain "one\r\ntwo"`, ` "--a"`},
		},
		"LF alone":        {"multipart/mixed; boundary=b", "--b\nContent-Type: a/b\n\nx\n--b--\n", []string{`a/b "x"`}},
		"no part at all":  {"multipart/mixed; boundary=b", "--b--", nil},
		"an empty part":   {"multipart/mixed; boundary=b", "--b\r\n\r\n\r\n--b--", []string{` ""`}},
		"the last line":   {"Multipart/Related; BOUNDARY=b", "--b\r\n\r\nx\r\n--b--", []string{` "x"`}},
		"not taken apart": {"multipart/mixed; boundary=b", "--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n--c--\r\n--b--", []string{`multipart/mixed; boundary=c "--c\r\n\r\nx\r\n--c--"`}},
		"no coding is undone": {
			"multipart/form-data; boundary=b", "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3D\r\n--b--", []string{` "a=3D"`},
		},
		"byte ranges": {
			"multipart/byteranges; boundary=b",
			"\r\n--b\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\nab\r\n--b\r\nContent-Range: Bytes 4-4/*\r\n\r\ne\r\n--b\r\n\r\nx\r\n--b--\r\n",
			[]string{`text/plain "ab" {0 1 10}`, ` "e" {4 4 -1}`, ` "x"`},
		},
		"a range elsewhere": {"multipart/mixed; boundary=b", "--b\r\nContent-Range: lines 1-2\r\n\r\n\r\n--b--", []string{` ""`}},
	} {
		for cut := range len(test.body) + 1 {
			got, err := partsOf(multipartAnswer(test.typ, io.MultiReader(strings.NewReader(test.body[:cut]), strings.NewReader(test.body[cut:]))))
			require.NoError(t, err, name)
			require.Equal(t, test.want, got, "%s cut at %d", name, cut)
		}
		got, err := partsOf(multipartAnswer(test.typ, iotest.OneByteReader(strings.NewReader(test.body))))
		require.NoError(t, err, name)
		require.Equal(t, test.want, got, name)
	}
}

func TestParts_whatIsNoneOrCutShortIsAnError(t *testing.T) {
	t.Parallel()
	const body = "--b\r\nA: b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--"
	for cut := range len(body) {
		got, err := partsOf(multipartAnswer("multipart/mixed; boundary=b", strings.NewReader(body[:cut])))
		require.ErrorIs(t, err, parley.ErrDecoding, "%q", body[:cut])
		if !strings.Contains(err.Error(), "malformed MIME header") { // as well
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%q", body[:cut])
		}
		require.LessOrEqual(t, len(got), 2)
	}
	for typ, body := range map[string]string{
		"text/plain": body, "": body, "multipart/mixed": body, "multipart/mixed; boundary=": body, `multipart/mixed; boundary="`: body,
		"multipart/mixed; boundary=" + strings.Repeat("b", 257): body,
		"multipart/mixed; boundary=c":                           body,
		"multipart/mixed; boundary=b; x=1":                      "--b\r\nno colon\r\n\r\n\r\n--b--",
		"multipart/mixed; boundary=b; x=2":                      strings.Repeat("x", 10_000) + "\r\n" + body,
		"multipart/byteranges; boundary=b":                      "--b\r\nContent-Range: bytes 5-4/10\r\n\r\n\r\n--b--",
		"multipart/byteranges; boundary=b; x=1":                 "--b\r\nContent-Range: bytes */10\r\n\r\n\r\n--b--",
	} {
		got, err := partsOf(multipartAnswer(typ, strings.NewReader(body)))
		require.ErrorIs(t, err, parley.ErrDecoding, typ)
		require.Empty(t, got)
	}
	broken := errors.New("broken")
	for cut := range len(body) {
		_, err := partsOf(multipartAnswer("multipart/mixed; boundary=b", io.MultiReader(strings.NewReader(body[:cut]), failingReader{broken})))
		require.ErrorIs(t, err, broken)
	}
}

func TestParts_areReadUntilTheNextStep(t *testing.T) {
	t.Parallel()
	body := "--b\r\n\r\n" + strings.Repeat("x", 100_000) + "\r\n--b\r\n\r\ntwo\r\n--b\r\n\r\nthree\r\n--b--"
	var parts []*parley.ResponsePart
	closed := 0
	resp := multipartAnswer("multipart/mixed; boundary=b", nil)
	resp.Body = countsCloses{strings.NewReader(body), &closed}
	for part, err := range resp.Parts() {
		require.NoError(t, err)
		if parts = append(parts, part); len(parts) == 3 {
			break
		}
		_, err = io.ReadFull(part.Body, make([]byte, 2))
		require.NoError(t, err)
	}
	require.Len(t, parts, 3)
	require.Equal(t, 1, closed)
	for _, part := range parts {
		_, err := part.Body.Read(make([]byte, 1))
		require.ErrorContains(t, err, "the loop over the parts has gone on")
		require.NotErrorIs(t, err, io.EOF)
	}
	resp = multipartAnswer("multipart/mixed; boundary=b", strings.NewReader(body))
	_, err := resp.Bytes()
	require.NoError(t, err)
	for range 2 { // what was read whole can be looped over again
		got, err := partsOf(resp)
		require.NoError(t, err)
		require.Len(t, got, 3)
	}
}

func TestPartJSON_comesBeforeTheBoundaryAfterIt(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	decoded := make(chan struct{}, 2)
	go func() {
		io.WriteString(w, "--b\r\n\r\n{\"n\":1}\r\n--b")
		<-decoded
		io.WriteString(w, "\r\n\r\n [2] tail\r\n--b--")
		w.Close()
	}()
	var got []any
	var rest []string
	for part, err := range multipartAnswer("multipart/mixed; boundary=b", r).Parts() {
		require.NoError(t, err)
		var v any
		require.NoError(t, part.JSON(&v))
		decoded <- struct{}{}
		got = append(got, v)
		tail, err := io.ReadAll(part.Body)
		require.NoError(t, err)
		rest = append(rest, string(tail))
	}
	require.Equal(t, []any{map[string]any{"n": 1.0}, []any{2.0}}, got)
	require.Equal(t, []string{"", " tail"}, rest)
}

func TestPartJSON_whatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	first := func(body string, opts ...parley.RequestOption) error {
		resp := multipartAnswer("multipart/mixed; boundary=b", strings.NewReader("--b\r\n\r\n"+body))
		var err error
		resp.Request, err = parley.NewRequest("GET", "http://a.test/", opts...)
		require.NoError(t, err)
		for part, err := range resp.Parts() {
			require.NoError(t, err)
			return part.JSON(new([]int))
		}
		return nil
	}
	const end = "\r\n--b--"
	require.NoError(t, first("[1]"+end))
	for _, body := range []string{"" + end, "x" + end, "[" + end, `"text"` + end, "x" + strings.Repeat(" ", parley.DefaultMaxItemBytes+10) + end, "[1", "["} {
		require.ErrorIs(t, first(body), parley.ErrDecoding, body[:min(len(body), 20)])
	}
	require.ErrorIs(t, first("["), io.ErrUnexpectedEOF)
	list := "[" + strings.Repeat(" ", 62) + "]"
	require.NoError(t, first(list+end, parley.WithMaxItemBytes(64)))
	require.ErrorIs(t, first(" "+list+end, parley.WithMaxItemBytes(64)), parley.ErrBodyTooLarge)
	require.ErrorIs(t, first(strings.Repeat(" ", parley.DefaultMaxItemBytes+1)+"[]"+end), parley.ErrBodyTooLarge)
	require.NoError(t, (&parley.ResponsePart{Body: strings.NewReader("12")}).JSON(new(int)))
}

func TestContentRange_isReadStrictly(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]parley.ContentRange{
		"bytes 0-0/1": {First: 0, Last: 0, Size: 1}, "bytes 5-9/*": {First: 5, Last: 9, Size: -1}, "BYTES 007-8/9": {First: 7, Last: 8, Size: 9},
		"bytes */0": {First: -1, Last: -1, Size: 0}, " bytes 0-1/2\t": {First: 0, Last: 1, Size: 2},
		"bytes 0-9223372036854775806/9223372036854775807": {First: 0, Last: 1<<63 - 2, Size: 1<<63 - 1},
	} {
		got, ok := (&parley.Response{Header: http.Header{"Content-Range": {text}}}).ContentRange()
		require.True(t, ok, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "bytes", "bytes 0-1", "bytes 0-1/", "bytes 1-0/2", "bytes 0-2/2", "bytes */*", "bytes -1/2", "bytes 0-/2", "bytes +0-1/2", "bytes 0-1/-2",
		"bytes 0-1/2/3", "bytes=0-1/2", "lines 0-1/2", "bytes 0- 1/2", "bytes 0-9223372036854775808/*", "bytes 0x0-1/2", "bytes  0-1/2",
	} {
		_, ok := (&parley.Response{Header: http.Header{"Content-Range": {text}}}).ContentRange()
		require.False(t, ok, text)
	}
	_, ok := (&parley.Response{Header: http.Header{"Content-Range": {"bytes 0-0/1", "bytes 0-0/1"}}}).ContentRange()
	require.False(t, ok)
	_, ok = new(parley.Response).ContentRange()
	require.False(t, ok)
}

// FuzzParts feeds a body at once and byte by byte, which must give the same parts.
func FuzzParts(f *testing.F) {
	for _, body := range []string{
		"--b\r\nA: b\r\n\r\none\r\n--b\r\n\r\ntwo\r\n--b--", "--b--", "--b\n\nx\n--b--", "x\r\n--b \r\nContent-Range: bytes 0-1/2\r\n\r\nab\r\n--b--\r\n",
		"--b\r\n\r\n--b\r\n\r\n\r\n--b-\r\n--bb\r\n\r\n--b--", "--b\r\n\r\n\r\n\r\n--b--",
	} {
		f.Add([]byte(body), "b")
		f.Add(bytes.ReplaceAll([]byte(body), []byte("--b"), []byte("--a long boundary")), "a long boundary")
	}
	f.Fuzz(func(t *testing.T, body []byte, boundary string) {
		typ := fmt.Sprintf("multipart/byteranges; boundary=%q", boundary)
		got, err := partsOf(multipartAnswer(typ, bytes.NewReader(body)))
		slow, slowErr := partsOf(multipartAnswer(typ, iotest.OneByteReader(bytes.NewReader(body))))
		require.Equal(t, got, slow)
		require.Equal(t, err == nil, slowErr == nil, "%v, %v", err, slowErr)
		if err != nil {
			require.True(t, errors.Is(err, parley.ErrDecoding) || errors.Is(err, parley.ErrBodyTooLarge), "%v", err)
		}
	})
}
