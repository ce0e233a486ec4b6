package integration

import (
	"net/http"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/stretchr/testify/require"
)

func TestHTTPDServesTextsInTheirCharsets(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	for file, want := range map[string]string{
		"text.txt.latin1": "Grüße",
		"text.txt.utf16":  "Grüße",
		"text.txt.sjis":   "こんにちは",
		"text.html":       "<!doctype html><meta charset=windows-1252>Grüße €",
	} {
		text, err := parley.As[string](c.Get(t.Context(), file))
		require.NoError(t, err)
		require.Equal(t, want, text, file)
	}
}

func TestHTTPDServesPages(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")), parley.WithHeader("X-Api-Key", "secret"))
	var seen []string
	for page, err := range c.Pages(t.Context(), "pages?page=1") {
		require.NoError(t, err)
		seen = append(seen, page.Request.URL.RequestURI())
		var got struct{ Items int }
		require.NoError(t, page.JSON(&got))
		require.Equal(t, 10, got.Items)
	}
	require.Equal(t, []string{"/pages?page=1", "/pages?page=2", "/pages?page=3"}, seen)
	for _, line := range logged(t, p, 3) {
		require.Contains(t, line, "key=[secret]")
	}
}

func TestHTTPDSaysWhatTheProblemIs(t *testing.T) {
	p := httpd(t)
	c := session(t, parley.WithBaseURL(p.URL("main")))
	_, err := parley.As[string](c.Get(t.Context(), "gone"))
	var status *parley.StatusError
	require.ErrorAs(t, err, &status)
	require.Equal(t, http.StatusGone, status.StatusCode)
	var problem *parley.Problem
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "Gone for good", problem.Title)
	require.JSONEq(t, "3", string(problem.Extensions["left"]))
}
