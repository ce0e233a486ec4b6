package parley_test

import (
	"bytes"
	"encoding/hex"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// readParts reads a body with the standard library's reader: the header of each part,
// the parameters of its Content-Disposition, and its content.
func readParts(t testing.TB, body parley.Body, boundary string) (headers []http.Header, dispositions []map[string]string, contents []string) {
	t.Helper()
	r, err := body.Open()
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	for m := multipart.NewReader(r, boundary); ; {
		p, err := m.NextRawPart()
		if err == io.EOF {
			return headers, dispositions, contents
		}
		require.NoError(t, err)
		kind, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
		require.NoError(t, err)
		require.Equal(t, "form-data", kind)
		content, err := io.ReadAll(p)
		require.NoError(t, err)
		headers, dispositions, contents = append(headers, http.Header(p.Header)), append(dispositions, params), append(contents, string(content))
	}
}

func TestS151_NamesCannotEndTheirParameter(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	for name, want := range map[string]string{
		`a"; name="x`:        `a%22; name=%22x`,
		"a\r\nX: 1":          "a%0D%0AX: 1",
		"a\n\n--x":           "a%0A%0A--x",
		`a\b`:                `a\b`,
		`a\`:                 `a%5C`,
		`\\`:                 `\%5C`,
		`a\"; x="`:           `a\%22; x=%22`,
		"\u00e4":             "\u00e4",
		"\u0153\u4e2d 1.txt": "\u0153\u4e2d 1.txt",
		"a%22b":              "a%22b",
		"a; b=c":             "a; b=c",
		"\ta":                "\ta",
	} {
		t.Run(want, func(t *testing.T) {
			body, boundary := multipartOf(t, parley.FormField(name, "v"), parley.FormBytes("f", name, []byte("v")), parley.FormBytes(name, name, []byte("v")))
			headers, dispositions, contents := readParts(t, body, boundary)
			require.Equal(t, []map[string]string{{"name": want}, {"name": "f", "filename": want}, {"name": want, "filename": want}}, dispositions)
			require.Equal(t, []string{"v", "v", "v"}, contents)
			require.Len(t, headers[0], 1)
			require.Len(t, headers[1], 2)
		})
	}
	for _, name := range []string{"a\x00b", "\x00", "a\x1b", "a\x7f"} {
		r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", parley.WithMultipart(parley.FormField(name, "v"))))
		r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", parley.WithMultipart(parley.FormBytes("f", name, nil))))
		r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", parley.WithMultipart(parley.FormFields(map[string]string{name: "v"})...)))
	}
}

func TestS152_S060_PartHeadersObeyTheHeaderRules(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	refuses := func(p parley.Part) {
		t.Helper()
		p.Name = "f"
		r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", parley.WithMultipart(p)))
	}
	for _, typ := range []string{"text/plain\r\nX: 1", "text/plain\n", "a\x00", "\r", "text", "text/", "/plain", "text/plain; a", "text plain/x", `a/b; c="`, "a/b; c=1; c=2"} {
		refuses(parley.Part{ContentType: typ})
		refuses(parley.Part{Header: http.Header{"Content-Type": {typ}}})
		refuses(parley.Part{Body: parley.BytesBody(nil, typ)})
	}
	for _, value := range badValues {
		refuses(parley.Part{Header: http.Header{"X-A": {"fine", value}}})
	}
	for _, name := range badNames {
		refuses(parley.Part{Header: http.Header{name: {"v"}}})
	}
	refuses(parley.Part{Header: http.Header{"Content-Disposition": {`form-data; name="x"`}}})
	body, boundary := multipartOf(t, parley.Part{Name: "f", ContentType: `text/plain; x="a\"b"`, Header: http.Header{"X-A": {"a\tb"}}})
	headers, _, _ := readParts(t, body, boundary)
	require.Equal(t, []http.Header{{"Content-Disposition": {`form-data; name="f"`}, "Content-Type": {`text/plain; x="a\"b"`}, "X-A": {"a\tb"}}}, headers)
}

func TestS153_BoundariesCannotBeForeseen(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		_, boundary := multipartOf(t, parley.FormField("a", "b"))
		bits, err := hex.DecodeString(boundary)
		require.NoError(t, err)
		require.Len(t, bits, 16)
		seen[boundary] = true
	}
	require.Len(t, seen, 1000)
}

func TestS153_S060_ABoundaryOfTheCallersIsChecked(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	body := parley.WithMultipart(parley.FormField("a", "b"))
	for _, given := range []string{
		"boundary=" + strings.Repeat("a", 71), `boundary="own "`, `boundary=""`, "boundary=", `boundary="a\"b"`, `boundary=a"b`, `boundary="a`,
		`boundary="a;b"`, "boundary=a;b", "boundary=\u00e4", "boundary=a\r\nX: 1", "boundary=\"a\r\"", "boundary=a\x00", "boundary=a; boundary=b", "boundary=a b",
		"boundary*=utf-8''%0d%0a",
	} {
		for _, kind := range []string{"multipart/form-data", "MULTIPART/mixed"} {
			opt := parley.WithHeader("Content-Type", kind+"; "+given)
			r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", body, opt))
			r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", opt, body))
		}
	}
	r.refuses(parley.ErrInvalidHeader, r.call("POST", "x", body, parley.WithHeaders(http.Header{"Content-Type": {"multipart/form-data; boundary=a", "multipart/form-data; boundary=b"}})))
	const longest = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'()+_,-."
	sent := r.takes(r.call("POST", "x", body, parley.WithHeader("Content-Type", `multipart/form-data; boundary="`+longest[:70]+`"`)))
	require.Contains(t, sent, "\r\n\r\n--"+longest[:70]+"\r\n")
	require.True(t, strings.HasSuffix(sent, "\r\n--"+longest[:70]+"--\r\n"), sent)
}

func TestS194_OnlyTheBaseNameOfAPathIsSent(t *testing.T) {
	t.Parallel()
	r := newRecording(t)
	dir := filepath.Join(t.TempDir(), "private", "deeper")
	require.NoError(t, os.MkdirAll(dir, 0o700))
	path := filepath.Join(dir, "a.txt")
	require.NoError(t, os.WriteFile(path, []byte("x"), 0o600))
	sent := r.takes(r.call("POST", "x", parley.WithMultipart(parley.FormFile("f", path))))
	require.Contains(t, sent, `; filename="a.txt"`)
	for _, part := range strings.Split(filepath.Dir(path), string(filepath.Separator)) {
		if len(part) > 3 { // what is shorter may stand in a boundary
			require.NotContains(t, sent, part)
		}
	}
	named := parley.FormFile("f", path)
	named.FileName = "some/where.txt"
	body, boundary := multipartOf(t, named)
	_, dispositions, _ := readParts(t, body, boundary)
	require.Equal(t, "some/where.txt", dispositions[0]["filename"])
}

func TestS198_MultipartPrintsWithoutItsContent(t *testing.T) {
	t.Parallel()
	part := parley.FormField("password", secret)
	file := parley.FormBytes("f", "a.txt", []byte(secret))
	file.Header = http.Header{"X-Token": {secret}}
	read := parley.FormReader("r", "r", strings.NewReader(secret))
	buffered := parley.FormReader("b", "b", io.MultiReader(bytes.NewBufferString(secret)))
	parts := []parley.Part{part, file, read, buffered, parley.FormJSON("j", secret)}
	body, _ := multipartOf(t, parts...)
	small, _ := multipartOf(t, part, file)
	req, err := parley.NewRequest("POST", "http://a.test", parley.WithMultipart(parts...))
	require.NoError(t, err)
	for name, v := range map[string]any{
		"part": part, "pointer": &part, "header": file, "reader": read, "any reader": buffered, "parts": parts, "body": body, "small body": small,
		"option": parley.WithMultipart(parts...), "request": req,
		"in a struct":        struct{ P parley.Part }{part},
		"hidden in a struct": struct{ b parley.Body }{body},
		"in a map":           map[string]any{"p": part, "b": body},
	} {
		t.Run(name, func(t *testing.T) { requireNoLeak(t, v) })
	}
	require.Equal(t, "<Part f a.txt>", file.String())
	_, err = parley.MultipartBody(part, parley.Part{Name: "f", Body: parley.BytesBody([]byte(secret), "bad")})
	requireNoLeak(t, err)
}

// FuzzMultipart checks that whatever is sent the standard library's reader finds the
// same parts, with names as they are documented.
func FuzzMultipart(f *testing.F) {
	for _, name := range []string{"a", `a"; name="x`, "a\r\nX: 1", "a\x00b", `a\b`, `a\`, `\"`, "\u00e4", "\xff", "a%22"} {
		f.Add(name, name, []byte("--x\r\n"))
	}
	f.Fuzz(func(t *testing.T, name, filename string, content []byte) {
		body, err := parley.MultipartBody(parley.FormBytes(name, filename, content), parley.FormReader("last", "", inParts(string(content))))
		if err != nil {
			control := func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\r\n", r) || r == 0x7f }
			require.True(t, name == "" || strings.ContainsFunc(name+filename, control), "%q %q: %v", name, filename, err)
			return
		}
		_, params, err := mime.ParseMediaType(body.ContentType())
		require.NoError(t, err)
		headers, dispositions, contents := readParts(t, body, params["boundary"])
		want := map[string]string{"name": asRead(name)}
		if filename != "" {
			want["filename"] = asRead(filename)
			require.Len(t, headers[0], 2)
		} else {
			require.Len(t, headers[0], 1)
		}
		require.Equal(t, []map[string]string{want, {"name": "last"}}, dispositions)
		require.Equal(t, []string{string(content), string(content)}, contents)
	})
}

// asRead gives a name as the standard library reads it: escaped as documented, and
// without a backslash before what RFC 2045 calls tspecials.
func asRead(name string) string {
	name = strings.NewReplacer("\r", "%0D", "\n", "%0A", `"`, "%22").Replace(name)
	if strings.HasSuffix(name, `\`) {
		name = name[:len(name)-1] + "%5C"
	}
	var b strings.Builder
	for i := 0; i < len(name); i++ {
		if name[i] == '\\' && i+1 < len(name) && strings.IndexByte(`()<>@,;:\"/[]?=`, name[i+1]) >= 0 {
			i++
		}
		b.WriteByte(name[i])
	}
	return b.String()
}
