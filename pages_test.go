package parley_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// bookOf serves pages under the names a.test, b.test and c.test, as pages gives them: the Link
// header of the answer to a target, by host and target. A page beginning with "HTTP/"
// is the whole answer; one that is not there is 404.
func bookOf(t *testing.T, pages map[string]string) (*wiretest.Server, *wiretest.Names) {
	t.Helper()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		key := r.Host + r.RequestURI
		link, ok := pages[key]
		switch {
		case !ok:
			return strings.Replace(answer("no page"), "200 OK", "404 Not Found", 1)
		case strings.HasPrefix(link, "HTTP/"):
			return link
		case link == "":
			return answer(key)
		}
		return answer(key, "Link: "+link)
	}))
	return s, wiretest.NewNames(map[string]string{"a.test:80": s.Addr(), "b.test:80": s.Addr(), "c.test:80": s.Addr()})
}

// pagesOf collects the texts of the pages, and the error at the end.
func pagesOf(ctx context.Context, c *parley.Client, url string, opts ...parley.RequestOption) (texts []string, last error) {
	for resp, err := range c.Pages(ctx, url, opts...) {
		if err != nil {
			last = errors.Join(last, err)
			continue
		}
		text, err := resp.Text()
		texts, last = append(texts, text), errors.Join(last, err)
	}
	return texts, last
}

// sentTo gives the requests that a server read, by host and target.
func sentTo(t *testing.T, s *wiretest.Server) map[string]*http.Request {
	t.Helper()
	sent := map[string]*http.Request{}
	for _, text := range s.Received() {
		for r := bufio.NewReader(strings.NewReader(text)); ; {
			req, err := http.ReadRequest(r)
			if err != nil {
				break
			}
			_, err = io.Copy(io.Discard, req.Body)
			require.NoError(t, err)
			sent[req.Host+req.RequestURI] = req
		}
	}
	return sent
}

func TestPages_followsTheLinkToTheNext(t *testing.T) {
	t.Parallel()
	_, names := bookOf(t, map[string]string{
		"a.test/v1/items?page=1": `<?page=2>; rel="next"`, "a.test/v1/items?page=2": `</v1/items?page=1>; rel=prev, <http://a.test/v1/items?page=3#x>; rel=NEXT`,
		"a.test/v1/items?page=3": `<?page=4>; rel=next; anchor="/other"`,
	})
	c := wireClient(t, parley.WithBaseURL("http://a.test/v1"), parley.WithDialer(names))
	pages := c.Pages(t.Context(), "items?page=1")
	for range 2 {
		var got []string
		for resp, err := range pages {
			require.NoError(t, err)
			text, err := resp.Text()
			require.NoError(t, err)
			require.Equal(t, "http://"+text, resp.Request.URL.String())
			got = append(got, text)
		}
		require.Equal(t, []string{"a.test/v1/items?page=1", "a.test/v1/items?page=2", "a.test/v1/items?page=3"}, got, "ranging again begins again")
	}
	for range pages {
		break
	}
	require.Equal(t, []int{0, 1}, []int{c.Stats().Active, c.Stats().Idle}, "a loop that was left leaves nothing open")
}

func TestPages_endsWithWhatWentWrong(t *testing.T) {
	t.Parallel()
	_, names := bookOf(t, map[string]string{
		"a.test/gone": `</404>; rel=next`, "a.test/loop": `</loop2>; rel=next`, "a.test/loop2": `</loop#again>; rel=next`,
		"a.test/self": `<>; rel=next`, "a.test/mail": `<mailto:a@a.test>; rel=next`, "a.test/bad": `<http://[>; rel=next`,
		"a.test/away": `<http://nowhere.test/>; rel=next`,
	})
	c := wireClient(t, parley.WithBaseURL("http://a.test"), parley.WithDialer(names))
	for path, test := range map[string]struct {
		pages int
		kind  error
		text  string
	}{
		"404": {0, nil, "status 404"}, "gone": {1, nil, "status 404"}, "loop": {2, parley.ErrPageLoop, "a.test/loop: request: pages lead back"},
		"self": {1, parley.ErrPageLoop, ""}, "mail": {1, parley.ErrUnsupportedProtocol, "mailto"}, "away": {1, parley.ErrConnect, ""},
		"../x": {0, parley.ErrInvalidURL, ""},
	} {
		texts, err := pagesOf(t.Context(), c, path)
		require.Len(t, texts, test.pages, path)
		require.Error(t, err, path)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, path)
			require.ErrorAs(t, err, new(*parley.Error), path)
		} else {
			require.ErrorAs(t, err, new(*parley.StatusError), path)
		}
		require.ErrorContains(t, err, test.text, path)
	}
	texts, err := pagesOf(t.Context(), c, "bad")
	require.NoError(t, err, "a link that leads nowhere is none")
	require.Len(t, texts, 1)
	_, err = pagesOf(t.Context(), c, "bad", parley.WithCharset("klingon"))
	require.ErrorContains(t, err, "unknown charset")

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range c.Pages(ctx, "loop") {
		if n++; n == 1 {
			require.NoError(t, err)
			cancel()
			continue
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, 2, n)
}

// keyed is what a session and a call are made of that no other origin may see.
var (
	keyedSession = parley.WithOptions(parley.WithHeader("X-Key", "session"), parley.WithCookie("s", "1"), parley.WithQuery("key", "k"), parley.WithQuery("size", "9"))
	keyedCall    = []parley.RequestOption{
		parley.WithHeader("X-Call", "call"), parley.WithHeader("Accept", "text/csv"), parley.WithCookie("c", "2"), parley.WithBearerToken("t"),
		parley.WithQuery("q", "x"), parley.WithQuery("size", "5"),
	}
)

// bears tells what a request has of them.
func bears(r *http.Request) string {
	return fmt.Sprintf("%s %s %s %s", r.Header.Get("X-Key"), r.Header.Get("X-Call"), r.Header.Get("Cookie"), r.Header.Get("Authorization"))
}

func TestPages_goWithTheOptionsOnTheirOwnOriginOnly(t *testing.T) {
	t.Parallel()
	const all, none = "session call s=1; c=2 Bearer t", "   "
	redirect := func(to string) string { return lines("HTTP/1.1 302 Found", "Location: "+to, "Content-Length: 0") }
	for name, test := range map[string]struct {
		pages   map[string]string
		session []parley.ClientOption
		want    map[string]string // what each request bears
	}{
		"the same origin": {
			map[string]string{"a.test/1?key=k&size=5&q=x": "</2>; rel=next", "a.test/2?key=k": "</3?key=own&q=y>; rel=next", "a.test/3?key=own&q=y": ""},
			nil, map[string]string{"a.test/1?key=k&size=5&q=x": all, "a.test/2?key=k": all, "a.test/3?key=own&q=y": all},
		},
		"another origin, and back": {
			map[string]string{
				"a.test/1?key=k&size=5&q=x": "<http://b.test/2>; rel=next", "b.test/2": "</3>; rel=next",
				"b.test/3": "<http://a.test/4>; rel=next", "a.test/4": "</5>; rel=next", "a.test/5": "",
			},
			nil, map[string]string{"b.test/2": none, "b.test/3": none, "a.test/4": none, "a.test/5": none},
		},
		"an origin that is trusted": {
			map[string]string{"a.test/1?key=k&size=5&q=x": "<http://b.test/2>; rel=next", "b.test/2?key=k": ""},
			[]parley.ClientOption{parley.WithTrustedOrigins("http://b.test")}, map[string]string{"b.test/2?key=k": all},
		},
		"by way of a redirect": {
			map[string]string{"a.test/1?key=k&size=5&q=x": redirect("http://b.test/1"), "b.test/1": "</2>; rel=next", "b.test/2": ""},
			nil, map[string]string{"b.test/1": none, "b.test/2": none},
		},
		"by way of a redirect that leads back": {
			map[string]string{"a.test/1?key=k&size=5&q=x": redirect("http://b.test/1"), "b.test/1": redirect("http://a.test/x"), "a.test/x": "</2>; rel=next", "a.test/2": ""},
			nil, map[string]string{"a.test/x": none, "a.test/2": none},
		},
	} {
		for _, base := range []bool{true, false} { // without a base URL a session's values go wherever a call does
			s, names := bookOf(t, test.pages)
			opts := append([]parley.ClientOption{keyedSession, parley.WithDialer(names)}, test.session...)
			if base || test.session != nil {
				opts = append(opts, parley.WithBaseURL("http://a.test"))
			}
			_, err := pagesOf(t.Context(), wireClient(t, opts...), "http://a.test/1", keyedCall...)
			require.NoError(t, err, name)
			sent := sentTo(t, s)
			require.Equal(t, all, bears(sent["a.test/1?key=k&size=5&q=x"]), name)
			for page, want := range test.want {
				require.NotNil(t, sent[page], "%s: %s", name, page)
				require.Equal(t, want, bears(sent[page]), "%s: %s", name, page)
				require.Equal(t, "text/csv", sent[page].Header.Get("Accept"), "what is harmless goes along")
			}
		}
	}
}

func TestPages_ofAForeignOriginStayForeign(t *testing.T) {
	t.Parallel()
	s, names := bookOf(t, map[string]string{"b.test/1?q=x": "<http://a.test/2>; rel=next", "a.test/2": ""})
	c := wireClient(t, keyedSession, parley.WithDialer(names), parley.WithBaseURL("http://a.test"))
	_, err := pagesOf(t.Context(), c, "http://b.test/1", parley.WithQuery("q", "x"))
	require.NoError(t, err)
	require.Equal(t, "   ", bears(sentTo(t, s)["a.test/2"]), "a foreign server does not steer requests with the session's values")
}

func TestPages_sendABodyAndATargetOnce(t *testing.T) {
	t.Parallel()
	s, names := bookOf(t, map[string]string{"a.test/odd": "</2>; rel=next", "a.test/2": ""})
	c := wireClient(t, parley.WithBaseURL("http://a.test"), parley.WithDialer(names))
	source := &closeCounter{Reader: strings.NewReader("query")}
	texts, err := pagesOf(t.Context(), c, "1", parley.WithReader(source), parley.WithHeader("Content-Type", "text/x-query"), parley.WithTarget("/odd"))
	require.NoError(t, err)
	require.Equal(t, []string{"a.test/odd", "a.test/2"}, texts)
	require.EqualValues(t, 1, source.closed.Load())
	second := sentTo(t, s)["a.test/2"]
	require.Empty(t, second.Header["Content-Type"])
	require.Zero(t, second.ContentLength)
}
