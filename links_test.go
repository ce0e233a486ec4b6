package parley_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// answeringTo is a response to a GET of url with header lines.
func answeringTo(t testing.TB, url string, status int, header http.Header) *parley.Response {
	t.Helper()
	req, err := parley.NewRequest("GET", url)
	require.NoError(t, err)
	return &parley.Response{StatusCode: status, Header: header, Request: req}
}

func TestLinks_haveTheirPartsAndAreResolved(t *testing.T) {
	t.Parallel()
	const from = "https://a.test/v1/items?page=1#top"
	at := func(ref string) *url.URL {
		u, err := url.Parse(ref)
		require.NoError(t, err)
		return u
	}
	for name, test := range map[string]struct {
		header string
		want   parley.Link
	}{
		"all parts": {
			`<page2>; rel="next http://a.test/rels/More"; title="plain"; title*=UTF-8'en'caf%C3%A9; type="text/html"; media=print; hreflang=de; hreflang=fr; X=" y"`,
			parley.Link{
				URL: at("https://a.test/v1/page2"), Rel: []string{"next", "http://a.test/rels/More"}, Title: "café", Type: "text/html", Media: "print",
				HrefLang: []string{"de", "fr"}, Params: []parley.Param{
					{Key: "rel", Value: "next http://a.test/rels/More"}, {Key: "title", Value: "plain"}, {Key: "title*", Value: "UTF-8'en'caf%C3%A9"},
					{Key: "type", Value: "text/html"}, {Key: "media", Value: "print"}, {Key: "hreflang", Value: "de"}, {Key: "hreflang", Value: "fr"}, {Key: "x", Value: " y"},
				},
			},
		},
		"the first counts": {`<?page=2>; rel=a; rel=b; title=c; title=d`, parley.Link{
			URL: at("https://a.test/v1/items?page=2"), Rel: []string{"a"}, Title: "c",
			Params: []parley.Param{{Key: "rel", Value: "a"}, {Key: "rel", Value: "b"}, {Key: "title", Value: "c"}, {Key: "title", Value: "d"}},
		}},
		"a title that cannot be decoded": {`<//b.test>; title=plain; title*=klingon''x`, parley.Link{
			URL: at("https://b.test/"), Rel: []string{}, Title: "plain",
			Params: []parley.Param{{Key: "title", Value: "plain"}, {Key: "title*", Value: "klingon''x"}},
		}},
		"an anchor":     {`<>; anchor="#foo"`, parley.Link{URL: at("https://a.test/v1/items?page=1"), Rel: []string{}, Anchor: at("https://a.test/v1/items?page=1#foo"), Params: []parley.Param{{Key: "anchor", Value: "#foo"}}}},
		"no user":       {`<https://u:p@b.test/x>`, parley.Link{URL: at("https://b.test/x"), Rel: []string{}}},
		"other schemes": {`<mailto:a@a.test>`, parley.Link{URL: at("mailto:a@a.test"), Rel: []string{}}},
	} {
		all := answeringTo(t, from, 200, http.Header{"Link": {test.header}}).Links()
		require.Equal(t, []parley.Link{test.want}, all, name)
	}
	for _, header := range []string{
		"", "x", "</a", "<http://>", "<https://a b/>", "<http://[::1>", "<http:x>", "<a:b:c\x01>", "<a>; anchor=http://[", "<%zz:x>",
	} {
		require.Empty(t, answeringTo(t, from, 200, http.Header{"Link": {header}}).Links(), "%q", header)
	}
	require.Empty(t, (&parley.Response{Header: http.Header{"Link": {"<a>; rel=next"}}}).Links(), "there is nothing to resolve against")
	many := answeringTo(t, from, 200, http.Header{"Link": {strings.Repeat("<a>,", 1000), "<b>; rel=next"}})
	require.Len(t, many.Links(), 256)
}

func TestLink_isTheFirstOfItsRelationFromWhatWasRequested(t *testing.T) {
	t.Parallel()
	resp := answeringTo(t, "http://a.test/p#f", 200, http.Header{"Link": {
		`<http://[>; rel=next, <1>; rel=next; anchor="/other", <2>; rel="prev NEXT"; anchor="#part"`, `<3>; rel=next, <4>; rel="Last"`,
	}})
	for rel, want := range map[string]string{"next": "/2", "Next": "/2", "prev": "/2", "last": "/4"} {
		l, ok := resp.Link(rel)
		require.True(t, ok, rel)
		require.Equal(t, want, l.URL.Path, rel)
		require.True(t, l.HasRel(rel), rel)
	}
	for _, rel := range []string{"first", "", "prev next"} {
		_, ok := resp.Link(rel)
		require.False(t, ok, rel)
	}
	_, ok := (&parley.Response{}).Link("next")
	require.False(t, ok)
}

func TestLocation_isResolvedAgainstTheRequest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status         int
		location, want string
	}{
		"created":                 {201, "/users/7", "https://a.test/users/7"},
		"created, relative":       {201, "7", "https://a.test/v1/7"},
		"a redirect":              {302, "https://b.test/x#g", "https://b.test/x#g"},
		"the fragment goes along": {302, " ?b ", "https://a.test/v1/users?b#f"},
		"but not with a 201":      {201, "?b", "https://a.test/v1/users?b"},
		"without user":            {302, "https://u:p@b.test/", "https://b.test/#f"},
	} {
		u, err := answeringTo(t, "https://a.test/v1/users?a#f", test.status, http.Header{"Location": {test.location}}).Location()
		require.NoError(t, err, name)
		require.Equal(t, test.want, u.String(), name)
	}
	for location, kind := range map[string]error{"": http.ErrNoLocation, "ftp://a.test": parley.ErrUnsupportedProtocol, "http://[": parley.ErrInvalidURL} {
		_, err := answeringTo(t, "https://a.test/", 302, http.Header{"Location": {location}}).Location()
		require.ErrorIs(t, err, kind, location)
		require.ErrorAs(t, err, new(*parley.Error), location)
	}
	_, err := answeringTo(t, "https://a.test/", 302, nil).Location()
	require.ErrorIs(t, err, http.ErrNoLocation)
	_, err = (&parley.Response{Header: http.Header{"Location": {"/"}}}).Location()
	require.ErrorIs(t, err, http.ErrNoLocation)
}

func TestCookies_areThoseThatTheAnswerSets(t *testing.T) {
	t.Parallel()
	resp := answeringTo(t, "https://a.test/", 200, http.Header{"Set-Cookie": {"a=1; Path=/x; Secure", "=bad name", "b=2; Max-Age=5"}})
	got := resp.Cookies()
	require.Len(t, got, 2)
	require.Equal(t, []any{"a", "1", "/x", true, "b", 5}, []any{got[0].Name, got[0].Value, got[0].Path, got[0].Secure, got[1].Name, got[1].MaxAge})
	require.Empty(t, (&parley.Response{}).Cookies())
}
