package parley_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestRequest_pathParametersAreOneSegmentEach(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test/v1"), parley.WithPath("team", "a b"), parley.WithPath("unused", "x"))
	for name, test := range map[string]struct {
		ref  string
		opts []parley.RequestOption
		want string
	}{
		"escaped":               {"users/{user}/x", []parley.RequestOption{parley.WithPath("user", "a/b?c#d%2f..")}, "http://a.test/v1/users/a%2Fb%3Fc%23d%252f../x"},
		"of the session":        {"{team}", nil, "http://a.test/v1/a%20b"},
		"the request's wins":    {"{team}", []parley.RequestOption{parley.WithPath("team", "c")}, "http://a.test/v1/c"},
		"part of a segment":     {"v{n}.json", []parley.RequestOption{parley.WithPath("n", "2")}, "http://a.test/v1/v2.json"},
		"not in the query":      {"x?q={team}", nil, "http://a.test/v1/x?q=%7Bteam%7D"},
		"in an absolute URL":    {"http://b.test/{team}", nil, "http://b.test/a%20b"},
		"the last word for one": {"{n}", []parley.RequestOption{parley.WithPath("n", "1"), parley.WithPath("n", "2")}, "http://a.test/v1/2"},
	} {
		req, err := c.NewRequest("GET", test.ref, test.opts...)
		require.NoError(t, err, name)
		require.Equal(t, test.want, req.URL.String(), name)
	}
	for name, test := range map[string]struct {
		ref  string
		opts []parley.RequestOption
	}{
		"dots":                     {"{p}/x", []parley.RequestOption{parley.WithPath("p", "..")}},
		"a dot":                    {"{p}/x", []parley.RequestOption{parley.WithPath("p", ".")}},
		"nothing":                  {"{p}/x", []parley.RequestOption{parley.WithPath("p", "")}},
		"a value without a place":  {"x", []parley.RequestOption{parley.WithPath("p", "1")}},
		"a place without a value":  {"{p}/{q}", []parley.RequestOption{parley.WithPath("p", "1")}},
		"a place of no own values": {"{q}", nil},
	} {
		_, err := c.NewRequest("GET", test.ref, test.opts...)
		require.ErrorIs(t, err, parley.ErrInvalidURL, name)
	}
	alone, err := parley.NewRequest("GET", "http://a.test/{p}", parley.WithPath("p", "a/b"))
	require.NoError(t, err)
	require.Equal(t, "http://a.test/a%2Fb", alone.URL.String())
}

func TestRequest_madeAloneNeedsAnAbsoluteURL(t *testing.T) {
	t.Parallel()
	for ref, kind := range map[string]error{
		"x": parley.ErrInvalidURL, "": parley.ErrInvalidURL, "//a.test/x": parley.ErrInvalidURL, "ftp://a.test": parley.ErrUnsupportedProtocol,
	} {
		_, err := parley.NewRequest("GET", ref)
		require.ErrorIs(t, err, kind, ref)
	}
	req, err := parley.NewRequest("get", "http://me:secret@A.test:80/x?q=1", parley.WithQuery("r", "2"))
	require.NoError(t, err)
	require.Equal(t, "GET", req.Method)
	require.Equal(t, "http://a.test/x?q=1&r=2", req.URL.String())
	require.Empty(t, req.Header)
	require.NotNil(t, req.Auth, "user information has become credentials")
	require.Zero(t, req.Timeouts)
}

func TestRequest_sentWithoutBeingMade(t *testing.T) {
	t.Parallel()
	c := newSession(t)
	_, err := c.Send(t.Context(), nil)
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	_, err = c.Send(t.Context(), &parley.Request{Method: "GET"})
	require.ErrorIs(t, err, parley.ErrInvalidURL)
	require.ErrorContains(t, err, "make it with NewRequest")
	_, err = c.Pool().Send(t.Context(), &parley.Request{Method: "GET"})
	require.ErrorIs(t, err, parley.ErrInvalidURL)
}

func TestRequest_withGivesAChangedCopy(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"), parley.WithTimeout(time.Minute))
	req, err := c.NewRequest("POST", "x?a=1&b=2", parley.WithText("one"), parley.WithHeader("X-A", "1"), parley.WithCookie("c", "1"),
		parley.WithAttribute("k", 1), parley.WithTrailer("T1", func() string { return "" }))
	require.NoError(t, err)
	changed, err := req.With(parley.WithHeader("X-A", "2"), parley.WithQuery("a", "3"), parley.WithoutQuery("b"), parley.WithJSON(2),
		parley.WithAttribute("k", 2), parley.WithTrailer("T2", func() string { return "" }), parley.WithTimeout(time.Hour), parley.WithHost("b.test"))
	require.NoError(t, err)
	require.Equal(t, []any{"2", "a=3", "application/json", 2, 2, time.Hour, "b.test"}, []any{
		changed.Header.Get("X-A"), changed.URL.RawQuery, changed.Header.Get("Content-Type"), changed.Attribute("k"),
		len(changed.Trailers), changed.Timeouts.Total, changed.Host,
	})
	require.Equal(t, []any{"1", "a=1&b=2", "text/plain; charset=utf-8", 1, 1, time.Minute, ""}, []any{
		req.Header.Get("X-A"), req.URL.RawQuery, req.Header.Get("Content-Type"), req.Attribute("k"),
		len(req.Trailers), req.Timeouts.Total, req.Host,
	})
	_, err = req.With(parley.WithPath("id", "1"))
	require.ErrorContains(t, err, "WithPath: the URL has been built already")
	_, err = req.With(parley.WithHeader("bad name", ""))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
	require.ErrorContains(t, err, "POST http://a.test/x?...: request: ")
}

func TestRequest_aCloneSharesNothingButItsBody(t *testing.T) {
	t.Parallel()
	req, err := parley.NewRequest("POST", "http://a.test/x?a=1", parley.WithHeaders(http.Header{"X-A": {"1", "2"}}),
		parley.WithHeaderOrder("X-A"), parley.WithTrailer("T", func() string { return "" }), parley.WithText("body"))
	require.NoError(t, err)
	clone := req.Clone()
	require.Equal(t, req.Header, clone.Header)
	require.Same(t, req.Body, clone.Body)
	clone.URL.Host = "b.test"
	clone.Header["X-A"][1] = "3"
	clone.Header.Set("X-B", "4")
	clone.HeaderOrder[0] = "X-B"
	clone.Trailers[0].Name = "U"
	require.Equal(t, "http://a.test/x?a=1", req.URL.String())
	require.Equal(t, []string{"1", "2"}, req.Header["X-A"])
	require.NotContains(t, req.Header, "X-B")
	require.Equal(t, []string{"X-A"}, req.HeaderOrder)
	require.Equal(t, "T", req.Trailers[0].Name)
	empty := (&parley.Request{}).Clone()
	empty.Header.Set("X-A", "1") // there is one to write to
	require.Nil(t, empty.URL)
}

func TestRequest_theTargetIsSentByteForByte(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		for {
			head, err := c.ReadHead()
			if err != nil || !c.Say(wiretest.OK(strings.Fields(head)[1])) {
				return
			}
		}
	})
	c := sessionTo(t, s, parley.WithQuery("q", "1"))
	for _, target := range []string{"/a/../b//%7e?x=|", "/%zz", "/"} {
		require.Equal(t, target, textOf(t, c, "x", parley.WithTarget(target)))
	}
	resp, err := c.Options(t.Context(), "", parley.WithTarget("*"))
	require.NoError(t, err)
	text, err := resp.Text()
	require.NoError(t, err)
	require.Equal(t, "*", text)
}

func TestRequest_theHostHeaderIsNotWhereItGoes(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string { return wiretest.OK(r.Host) }))
	c := sessionTo(t, s)
	require.Equal(t, "b.test:81", textOf(t, c, "x", parley.WithHost("b.test:81")))
	require.Equal(t, "c.test", textOf(t, c, "x", parley.WithHeader("Host", "c.test")))
	require.Equal(t, s.Addr(), textOf(t, c, "x"), "nothing is remembered of it")
	require.Equal(t, 1, s.Accepted())
}

func TestRequest_attributesNeedNoSession(t *testing.T) {
	t.Parallel()
	type key int
	req, err := parley.NewRequest("GET", "http://a.test", parley.WithAttribute(key(1), "one"), parley.WithAttribute(key(1), "two"), parley.WithAttribute(1, nil))
	require.NoError(t, err)
	require.Equal(t, "two", req.Attribute(key(1)))
	require.Nil(t, req.Attribute(1))
	require.Nil(t, req.Attribute(key(2)))
	require.Nil(t, req.Attribute([]int{1}), "what cannot be a key is none")
}
