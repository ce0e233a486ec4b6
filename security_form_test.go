package parley_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// What stands between parameters is data within them.
func TestS154_EveryByteOfAParameterIsEncoded(t *testing.T) {
	t.Parallel()
	const hard = ";&=+% #\x00\n\r\t\"'<>\\^`{|}[]@:/?!$()*,~-._ä\u2028\xff"
	var all []byte
	for i := range 256 {
		all = append(all, byte(i), 'x')
	}
	for _, text := range []string{hard, string(all)} {
		params := parley.Params{{Key: text, Value: text}, {Key: "k", Value: "v"}}
		for name, style := range map[string]parley.QueryStyle{"plus": parley.QueryPlus, "percent": parley.QueryPercent} {
			s := wiretest.Serve(t, wiretest.Echo())
			_, err := sessionTo(t, s).Post(t.Context(), "x", parley.WithParams(params), parley.WithQueryStyle(style), parley.WithForm(params))
			require.NoError(t, err, "%s %q", name, text)
			line, rest, _ := strings.Cut(s.Text(), "\r\n")
			target := strings.TrimSuffix(strings.TrimPrefix(line, "POST "), " HTTP/1.1")
			_, content, _ := strings.Cut(rest, "\r\n\r\n")
			for what, encoded := range map[string]string{"query": strings.TrimPrefix(target, "/x?"), "form": content} {
				require.False(t, strings.ContainsFunc(encoded, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ';' || r == '#' }), "%s %q", what, encoded)
				values, err := url.ParseQuery(encoded)
				require.NoError(t, err, "%s %q", what, encoded)
				require.Equal(t, url.Values{text: {text}, "k": {"v"}}, values, what)
			}
		}
	}
}

// The same by every way to give a form, and as a multipart form.
func TestS154_FormsKeepTheirFieldsApart(t *testing.T) {
	t.Parallel()
	const key, value = "a;b&c=d", "1;x=2&y=3\x00\r\n%00+"
	type tagged struct {
		Field string `url:"a;b&c=d"`
	}
	for name, v := range map[string]any{
		"values": url.Values{key: {value}}, "lists": map[string][]string{key: {value}},
		"a map": map[string]string{key: value}, "a map of any": map[string]any{key: value}, "a struct": tagged{value},
	} {
		for _, multipart := range []bool{false, true} {
			body, err := parley.FormBody(v)
			if multipart {
				body, err = parley.MultipartBody(parley.FormFields(v)...)
			}
			require.NoError(t, err, name)
			r, err := body.Open()
			require.NoError(t, err, name)
			var content bytes.Buffer
			_, err = content.ReadFrom(r)
			require.NoError(t, err, name)
			hr, err := http.NewRequest("POST", "/", &content)
			require.NoError(t, err, name)
			hr.Header.Set("Content-Type", body.ContentType())
			if multipart {
				require.NoError(t, hr.ParseMultipartForm(1<<20), name)
				require.Equal(t, map[string][]string{key: {value}}, map[string][]string(hr.MultipartForm.Value), name)
				continue
			}
			require.NoError(t, hr.ParseForm(), name)
			require.Equal(t, url.Values{key: {value}}, hr.PostForm, name)
		}
	}
}
