package parley_test

import (
	"context"
	"encoding/xml"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// inUTF16 writes ASCII and Latin-1 as UTF-16, the low byte first.
func inUTF16(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteString(string([]byte{byte(r)}) + "\x00")
	}
	return b.String()
}

func TestText_isInTheCharsetThatTheAnswerNames(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ contentType, content, want, charset string }{
		"by the header":             {"text/plain; charset=ISO-8859-15", "\xa4 caf\xe9", "€ café", "iso-8859-15"},
		"by the header, in quotes":  {`text/plain; charset="Shift_JIS"`, "\x82\xb1", "こ", "shift_jis"},
		"by a mark":                 {"text/plain; charset=iso-8859-1", "\xef\xbb\xbfcafé", "café", "utf-8"},
		"by the meta tag":           {"text/html", "<meta charset=gbk>\xd6\xd0", "<meta charset=gbk>中", "gbk"},
		"by the declaration":        {"application/xml", "<?xml version='1.0' encoding='koi8-r'?>\xc1", "<?xml version='1.0' encoding='koi8-r'?>а", "koi8-r"},
		"by none":                   {"", "café", "café", "utf-8"},
		"by a guess":                {"text/plain", "caf\xe9", "café", "windows-1252"},
		"by one that is not known":  {"text/plain; charset=klingon", "café", "café", "utf-8"},
		"JSON":                      {"application/json; charset=utf-8", inUTF16(`{"a":1}`), `{"a":1}`, "utf-16le"},
		"what the charset has not":  {"text/plain; charset=utf-8", "a\xffb", "a\ufffdb", "utf-8"},
		"nothing, by what it might": {"text/plain; charset=gbk", "", "", "gbk"},
	} {
		head := []string{"Content-Type: " + test.contentType}
		if test.contentType == "" {
			head = nil
		}
		c := saying(t, answer(test.content, head...))
		resp, err := c.Get(t.Context(), "x")
		require.NoError(t, err, name)
		require.Equal(t, test.charset, resp.Charset(), name)
		for range 2 {
			text, err := resp.Text()
			require.NoError(t, err, name)
			require.Equal(t, test.want, text, name)
		}
		raw, err := resp.Bytes()
		require.NoError(t, err, name)
		require.Equal(t, test.content, string(raw), "the bytes are what they were")
		text, err := parley.As[string](c.Stream(t.Context(), "GET", "x"))
		require.NoError(t, err, name)
		require.Equal(t, test.want, text, name)
	}
}

func TestCharset_ofAStreamIsWhatIsKnownWithoutReadingIt(t *testing.T) {
	t.Parallel()
	c := saying(t, answer("\xff\xfea\x00", "Content-Type: text/plain; charset=gbk"))
	resp, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	require.Equal(t, "gbk", resp.Charset())
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "a", text)
	require.Equal(t, "utf-16le", resp.Charset(), "the mark says otherwise")
	for contentType, want := range map[string]string{"text/plain": "", "text/plain; charset=klingon": "", "application/json; charset=gbk": ""} {
		resp, err := saying(t, answer("a", "Content-Type: "+contentType)).Stream(t.Context(), "GET", "x")
		require.NoError(t, err)
		require.Equal(t, want, resp.Charset(), contentType)
		require.NoError(t, resp.Close())
	}
	resp, err = c.Stream(t.Context(), "GET", "x", parley.WithCharset("latin1"))
	require.NoError(t, err)
	require.Equal(t, "windows-1252", resp.Charset())
	require.NoError(t, resp.Close())
	bySomebody := parley.Response{}
	require.Empty(t, bySomebody.Charset())
}

func TestWithCharset_winsOverWhatTheAnswerSays(t *testing.T) {
	t.Parallel()
	const content = "\xef\xbb\xbf{\"k\":\"\xd6\xd0\"}"
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string {
		return answer(content, "Content-Type: application/json; charset=utf-8")
	}))
	type value struct {
		K string `json:"k"`
	}
	for name, test := range map[string]struct {
		session []parley.ClientOption
		request []parley.RequestOption
		want    string
	}{
		"not given":               {nil, nil, "utf-8"},
		"by the session":          {[]parley.ClientOption{parley.WithCharset("GB2312")}, nil, "gbk"},
		"by the request":          {nil, []parley.RequestOption{parley.WithCharset("GB2312")}, "gbk"},
		"the request's word wins": {[]parley.ClientOption{parley.WithCharset("koi8-r")}, []parley.RequestOption{parley.WithCharset("gbk")}, "gbk"},
		"taken back":              {[]parley.ClientOption{parley.WithCharset("koi8-r")}, []parley.RequestOption{parley.WithCharset("")}, "utf-8"},
		"the later word wins":     {[]parley.ClientOption{parley.WithCharset("koi8-r"), parley.WithCharset("gbk")}, nil, "gbk"},
	} {
		resp, err := sessionTo(t, s, test.session...).Get(t.Context(), "x", test.request...)
		require.NoError(t, err, name)
		require.Equal(t, test.want, resp.Charset(), name)
	}
	c := saying(t, answer(content[3:], "Content-Type: application/json"))
	got, err := parley.As[value](c.Get(t.Context(), "x", parley.WithCharset("gbk")))
	require.NoError(t, err)
	require.Equal(t, value{"中"}, got)

	_, err = parley.New(parley.WithCharset("klingon"))
	require.ErrorContains(t, err, `WithCharset: unknown charset "klingon"`)
	_, err = c.Get(t.Context(), "x", parley.WithCharset("utf-7"))
	require.ErrorContains(t, err, "unknown charset")
}

func TestJSONAndXML_areReadInTheirCharset(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{
		"plain": `{"id":7}`, "with a mark": "\xef\xbb\xbf" + `{"id":7}`, "UTF-16": inUTF16(`{"id":7}`), "UTF-16 with a mark": "\xff\xfe" + inUTF16(`{"id":7}`),
	} {
		for _, contentType := range []string{"application/json", "application/problem+json; charset=utf-8"} {
			got, err := parley.As[user](saying(t, answer(content, "Content-Type: "+contentType)).Get(t.Context(), "x"))
			require.NoError(t, err, name)
			require.Equal(t, 7, got.ID, name)
		}
	}
	type word struct {
		XMLName xml.Name `xml:"word"`
		Text    string   `xml:",chardata"`
	}
	for name, test := range map[string]struct{ contentType, content string }{
		"by the declaration":     {"text/xml", `<?xml version="1.0" encoding="iso-8859-1"?><word>caf` + "\xe9</word>"},
		"by the header":          {"text/xml; charset=latin1", `<?xml version="1.0" encoding="utf-8"?><word>caf` + "\xe9</word>"},
		"by a mark":              {"text/xml", "\xef\xbb\xbf<word>café</word>"},
		"UTF-16":                 {"application/xml", "\xff\xfe" + inUTF16(`<?xml version="1.0" encoding="UTF-16"?><word>café</word>`)},
		"without a word from it": {"application/xml", "<word>café</word>"},
	} {
		got, err := parley.As[word](saying(t, answer(test.content, "Content-Type: "+test.contentType)).Get(t.Context(), "x"))
		require.NoError(t, err, name)
		require.Equal(t, "café", got.Text, name)
	}
	_, err := parley.As[word](saying(t, answer("<word>caf\xe9</word>", "Content-Type: text/xml")).Get(t.Context(), "x"))
	require.ErrorIs(t, err, parley.ErrDecoding, "data is not guessed")
}

// What most answers are costs no more than the string itself.
func TestText_ofUTF8CostsOneAllocation(t *testing.T) { // counts, hence not in parallel
	const content = "some text, café"
	for name, head := range map[string][]string{
		"named": {"Content-Type: text/plain; charset=utf-8"}, "HTML": {"Content-Type: text/html; charset=UTF-8"}, "none": {"Content-Type: text/plain"},
		"no type": nil, "JSON": {"Content-Type: application/json"},
	} {
		resp, err := saying(t, answer(content, head...)).Get(context.Background(), "x")
		require.NoError(t, err)
		require.LessOrEqual(t, testing.AllocsPerRun(50, func() { _, _ = resp.Text() }), 1.0, name)
		require.Zero(t, testing.AllocsPerRun(50, func() { resp.Charset() }), name)
	}
}
