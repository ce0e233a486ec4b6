package parley_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// quick fails if f takes as long as only an algorithm of the wrong kind would, on a busy
// machine too.
func quick(t *testing.T, what string, f func()) {
	t.Helper()
	began := time.Now()
	f()
	assert.Less(t, time.Since(began), 5*time.Second, what)
}

// answered is a response with a body in memory, as if to a GET of http://a.test/.
func answered(t *testing.T, contentType, content string, link ...string) *parley.Response {
	t.Helper()
	resp := answeringTo(t, "http://a.test/", 200, http.Header{"Content-Type": {contentType}, "Link": link})
	resp.Body, resp.ContentLength = io.NopCloser(strings.NewReader(content)), int64(len(content))
	return resp
}

func TestS095_HeadersOfAnswersAreReadInLinearTime(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	const size = 64 << 10
	for _, unit := range []string{
		",", `"`, "\xa0", `\`, ";", "=", "<", ">", "<>,", "'", "%", `\"`, " ", "\t", "<a>;rel=next,", `<a>;title="`, "title*=UTF-8''%41;", "charset=", `charset="`, "; ;",
	} {
		for _, before := range []string{"", "<a>;", "text/html;", `text/html; charset="`, `<a>; title="`, "<a>; title*=UTF-8''"} {
			value := before + strings.Repeat(unit, size/len(unit))
			resp := answered(t, value, "text", value, "<b>; rel=next")
			quick(t, before+" "+unit, func() {
				require.LessOrEqual(t, len(resp.Links()), 256)
				resp.Link("next")
				text, err := resp.Text()
				require.NoError(t, err)
				require.Equal(t, "text", text)
				require.NotEmpty(t, resp.Charset())
				require.Error(t, resp.Decode(new(int)))
			})
		}
	}
}

func TestS095_ChallengesAreReadInLinearTime(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	const size = 64 << 10
	digest, err := parley.DigestAuth("u", "SECRET")
	require.NoError(t, err)
	for _, unit := range []string{",", `"`, "\xa0", `\`, "Basic , , ,", "Digest ", "Digest a=", `Digest realm="`, "=", " ", "\t", `a="\"`, "a=b,"} {
		for _, before := range []string{"", "Digest ", `Digest realm="r", nonce="n", `, `Digest realm="`} {
			value := before + strings.Repeat(unit, size/len(unit))
			sends := 0
			server := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
				sends++
				return &parley.Response{StatusCode: 401, Body: http.NoBody, Request: req, Header: http.Header{
					"Www-Authenticate": {value}, "Authentication-Info": {value},
				}}, nil
			})
			req, err := parley.NewRequest("GET", "http://a.test/")
			require.NoError(t, err)
			quick(t, before+" "+unit, func() {
				resp, err := digest.Send(t.Context(), req, server)
				require.NoError(t, err)
				require.Equal(t, 401, resp.StatusCode)
			})
			require.LessOrEqual(t, sends, 3)
		}
	}
}

// A short reference in a link can be long once it is resolved.
func TestS095_LinksDoNotMultiplyTheURL(t *testing.T) {
	t.Parallel()
	resp := answeringTo(t, "http://a.test/"+strings.Repeat("a/", 30_000), 200, http.Header{"Link": {strings.Repeat("<x>,", 250_000)}})
	quick(t, "links", func() { require.Len(t, resp.Links(), 256) })
}

// The names of the Encoding Standard, without those that it has no decoder for.
const everyCharset = "utf-8 ibm866 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-8-i iso-8859-10 " +
	"iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 koi8-r koi8-u macintosh windows-874 windows-1250 windows-1251 windows-1252 " +
	"windows-1253 windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 x-mac-cyrillic gbk gb18030 big5 euc-jp iso-2022-jp " +
	"shift_jis euc-kr utf-16be utf-16le utf-32be utf-32le x-user-defined"

func TestS099_DecodingIsLinearAndItsOutputBounded(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, 2*guardTime)
	const size = 64 << 10
	for charset := range strings.FieldsSeq(everyCharset) {
		for _, unit := range []string{"\xff", "\x80", "\x1b$B\x1b", "\x81\x30\x81", "\xd8\x00", "\x8f", "~{"} {
			resp := answered(t, "text/plain; charset="+charset, strings.Repeat(unit, size/len(unit)))
			quick(t, charset, func() {
				text, err := resp.Text()
				require.NoError(t, err, charset)
				require.Equal(t, charset, resp.Charset())
				require.True(t, utf8.ValidString(text), charset)
				require.LessOrEqual(t, len(text), 3*size, charset)
			})
		}
	}
}

func TestS099_LargeTextsAreNotSearchedForTheirCharset(t *testing.T) {
	t.Parallel()
	wiretest.Guard(t, guardTime)
	for name, unit := range map[string]string{
		"tags": "<", "tables": "<table><tr><td>", "comments": "<!--", "meta tags": "<meta charset=", "attributes": "<meta a=b c=\"d\" ", "high bytes": "\xff",
		"half pairs": "\x81", "zeros": "a\x00", "entities": "&amp;&", "declarations": "<?xml encoding=", "words": "charset ", "long words": "c",
	} {
		for contentType, size := range map[string]int{
			"text/html": 2 << 20, "application/xhtml+xml": 256 << 10, "text/css": 256 << 10, "text/plain": 256 << 10, "application/json": 256 << 10,
		} {
			if contentType == "text/html" && strings.HasPrefix(name, "ta") { // tags and tables
				size = 10 << 20
			}
			resp := answered(t, contentType, strings.Repeat(unit, size/len(unit)))
			quick(t, name+" "+contentType, func() {
				text, err := resp.Text()
				require.NoError(t, err)
				require.LessOrEqual(t, len(text), 3*size)
			})
		}
	}
}
