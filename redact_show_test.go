package parley_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

func TestRedaction_canBeAsked(t *testing.T) {
	t.Parallel()
	var usual parley.Redaction
	own := parley.Redaction{ShowHeaders: []string{"x-mine"}, ShowParams: []string{"page_token"}, HideParams: []string{"customer"}}
	odd := "x-mine"
	sent := http.Header{"Authorization": {"Bearer a"}, odd: {"a", "b"}, "Accept": {"*/*"}, "Cookie": {"a=b"}}
	require.Equal(t, http.Header{"Authorization": {parley.Hidden}, "X-Mine": {parley.Hidden, parley.Hidden}, "Accept": {"*/*"}, "Cookie": {"a=" + parley.Hidden}}, usual.Header(sent))
	require.Equal(t, []string{"a", "b"}, own.Header(sent)["X-Mine"])
	require.Equal(t, []string{"a", "b"}, sent[odd], "what was given does not change")
	require.Equal(t, http.Header{"Etag": {"a"}, "X-Other": {parley.Hidden}, "Set-Cookie": {"a=" + parley.Hidden + "; Path=/"}},
		own.AnswerHeader(http.Header{"Etag": {"a"}, "X-Other": {"a"}, "Set-Cookie": {"a=b; Path=/; x=y"}}))
	require.Empty(t, usual.Header(nil))
	require.Empty(t, usual.AnswerHeader(nil))

	u, err := url.Parse("https://user:pass@a.test/p?page_token=a&customer=b&x=c#f")
	require.NoError(t, err)
	require.Equal(t, "https://a.test/p?page_token=[hidden]&customer=b&x=c", usual.URL(u))
	require.Equal(t, "https://a.test/p?page_token=a&customer=[hidden]&x=c", own.URL(u))
	require.Empty(t, own.URL(nil))

	require.Equal(t, parley.Hidden, usual.Param("API-Key", "a"))
	require.Equal(t, "a", usual.Param("customer", "a"))
	require.Equal(t, parley.Hidden, own.Param("customer", "a"))

	require.Equal(t, "token=[hidden]&a=b", string(usual.Content("application/x-www-form-urlencoded; charset=utf-8", []byte("token=x&a=b"))))
	require.Equal(t, `{"token":"[hidden]"}`, string(usual.Content("", []byte(`{"token":"x"}`))))
	require.Equal(t, "token=x", string(usual.Content("text/plain", []byte("token=x"))))
	require.Equal(t, `{"token":"x"}`, string(parley.Redaction{ShowSecrets: true}.Content("", []byte(`{"token":"x"}`))))
}

func TestRedaction_links(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`<https://a.test/?page=2&token=x>; rel="next", </?page=9>; rel=last`: `<https://a.test/?page=2&token=[hidden]>; rel="next", </?page=9>; rel="last"`,
		`<https://u:p@a.test/#x>; title="a \"b\""; own=secret`:               `<https://a.test/>; title="a \"b\""`,
		`secret`: parley.Hidden,
	} {
		require.Equal(t, want, parley.Redaction{}.AnswerHeader(http.Header{"Link": {line}}).Get("Link"))
	}
	require.Equal(t, "/a?sig=[hidden]", parley.Redaction{}.AnswerHeader(http.Header{"Location": {"/a?sig=x#100%"}}).Get("Location"))
}
