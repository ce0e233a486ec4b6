package integration

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/stretchr/testify/require"
)

func TestNginxRedirectsABody(t *testing.T) {
	backend := bin(t)
	p := nginx(t, backend.Listener.Addr().String())
	c := session(t, parley.WithBaseURL(p.URL("main")))
	for status, want := range map[string]string{"301": "GET", "302": "GET", "303": "GET", "307": "POST", "308": "POST"} {
		t.Run(status, func(t *testing.T) {
			got, err := parley.As[echo](c.Post(t.Context(), "moved/"+status, parley.WithText("tea")))
			require.NoError(t, err)
			require.Equal(t, want, got.Method)
			require.Equal(t, want == "POST", got.Data == "tea")
		})
	}
	t.Run("that cannot be sent again", func(t *testing.T) {
		_, err := c.Post(t.Context(), "moved/307", parley.WithReader(pattern(1000)))
		require.ErrorIs(t, err, parley.ErrBodyNotRewindable)
	})
	t.Run("large, each time from its beginning", func(t *testing.T) {
		resp, err := c.Post(t.Context(), "moved/308", parley.WithText(content(900_000)))
		require.NoError(t, err)
		var got echo
		require.NoError(t, resp.JSON(&got))
		require.Equal(t, content(900_000), got.Data)
	})
}

func TestNginxRedirects(t *testing.T) {
	p := nginx(t, "")
	c := session(t, parley.WithBaseURL(p.URL("main")), parley.WithHeader("X-Api-Key", "secret"),
		parley.WithBasicAuth(user, password), parley.WithCookie("id", "7"))
	t.Run("to another port, and nothing of the session goes along", func(t *testing.T) {
		for _, from := range []string{"elsewhere", "kept-elsewhere"} {
			resp, err := c.Get(t.Context(), from)
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "auth=[] key=[] cookie=[]", text)
			require.Equal(t, p.URL("other")+"/here", resp.Request.URL.String())
		}
	})
	t.Run("to another port that is trusted", func(t *testing.T) {
		trusting, err := c.With(parley.WithTrustedOrigins(p.URL("other")))
		require.NoError(t, err)
		text, err := parley.As[string](trusting.Get(t.Context(), "elsewhere"))
		require.NoError(t, err)
		require.Regexp(t, `^auth=\[Basic .+\] key=\[secret\]`, text)
	})
	t.Run("there and back, and nothing comes back", func(t *testing.T) {
		resp, err := c.Get(t.Context(), "there-and-back")
		require.NoError(t, err)
		require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
		require.Equal(t, p.URL("main")+"/room/hello.txt", resp.Request.URL.String())
	})
	t.Run("in a circle", func(t *testing.T) {
		_, err := c.Get(t.Context(), "loop")
		require.ErrorIs(t, err, parley.ErrTooManyRedirects)
	})
	t.Run("a folder to its slash", func(t *testing.T) {
		resp, err := c.Get(t.Context(), "folder")
		require.NoError(t, err)
		text, err := resp.Text()
		require.NoError(t, err)
		require.Equal(t, "hello from the folder", text)
		require.Len(t, resp.History, 1)
		require.Equal(t, http.StatusMovedPermanently, resp.History[0].StatusCode)
	})
}

func TestNginxAsksForAPassword(t *testing.T) {
	p := nginx(t, "")
	base, err := url.Parse(p.URL("main") + "/room")
	require.NoError(t, err)
	anonymous := session(t, parley.WithBaseURL(base.String()))
	resp, err := anonymous.Get(t.Context(), "hello.txt")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	require.Equal(t, `Basic realm="the room"`, resp.Header.Get("WWW-Authenticate"))

	text, err := parley.As[string](anonymous.Get(t.Context(), "hello.txt", parley.WithBasicAuth(user, password)))
	require.NoError(t, err)
	require.Equal(t, "hello", text)
	resp, err = anonymous.Get(t.Context(), "hello.txt")
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode, "what one request said is of that request alone")

	base.User = url.UserPassword(user, password)
	c := session(t, parley.WithBaseURL(base.String()))
	require.NoError(t, crowd(t, c, 20, 200, "hello.txt", "hello"))
	resp, err = c.Get(t.Context(), "hello.txt", parley.WithoutAuth())
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
	resp, err = c.Get(t.Context(), "hello.txt", parley.WithBasicAuth(user, "simsim"))
	require.NoError(t, err)
	require.Equal(t, http.StatusUnauthorized, resp.StatusCode)
}

func TestNginxSetsCookies(t *testing.T) {
	p := nginx(t, "")
	names := wiretest.NewNames(map[string]string{"site.test:80": p.Addr("main")}) // loopback counts as secure
	c := session(t, parley.WithBaseURL("http://site.test"), parley.WithDialer(names))
	text, err := parley.As[string](c.Get(t.Context(), "cookies/set"))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"plain=1", "lasting=3", "wide=8"}, cookiesOf(text),
		"neither one for another path, domain or scheme, nor one that has expired or that lies about its host")
	text, err = parley.As[string](c.Get(t.Context(), "room/cookies"))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"room=2", "lasting=3", "wide=8"}, cookiesOf(text))
	require.Equal(t, "room=2", cookiesOf(text)[0], "the longer path comes first")

	names.Lead("below.site.test:80", p.Addr("main"))
	text, err = parley.As[string](c.Get(t.Context(), "http://below.site.test/cookies/show"))
	require.NoError(t, err)
	require.Equal(t, "wide=8", text)
}

// cookiesOf splits a Cookie header.
func cookiesOf(header string) []string {
	cookies, err := http.ParseCookie(header)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for _, c := range cookies {
		out = append(out, c.String())
	}
	return out
}
