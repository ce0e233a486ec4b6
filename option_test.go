package parley_test

import (
	"io/fs"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

func TestOption_aBadValueIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"))
	for name, test := range map[string]struct {
		option parley.Option
		kind   error
		text   string
	}{
		"header name":        {parley.WithHeader("bad name", "x"), parley.ErrInvalidHeader, `header "bad name": `},
		"header value":       {parley.WithHeader("X-A", "x\r\ny"), parley.ErrInvalidHeader, `header "X-A": `},
		"one of many":        {parley.WithHeaders(http.Header{"X-A": {"1", "\n"}}), parley.ErrInvalidHeader, `header "X-A": `},
		"a name alone":       {parley.WithHeaders(http.Header{"X A": nil}), parley.ErrInvalidHeader, `header "X A": `},
		"header order":       {parley.WithHeaderOrder("Accept", "bad name"), parley.ErrInvalidHeader, `header "bad name": `},
		"cookie name":        {parley.WithCookie("a b", "1"), parley.ErrInvalidHeader, "a cookie's name must be a token"},
		"cookie without one": {parley.WithCookie("", "1"), parley.ErrInvalidHeader, "a cookie's name must be a token"},
		"cookie value":       {parley.WithCookie("a", "1; b=2"), parley.ErrInvalidHeader, `the value of cookie "a" has a semicolon or a control byte`},
		"parameters":         {parley.WithParams(7), nil, "give Params, url.Values, a map with string keys or a struct with url tags"},
		"a parameter":        {parley.WithParams(map[string]any{"a": struct{}{}}), nil, `parameter "a": struct {} is no single value; flatten it first`},
		"attribute key":      {parley.WithAttribute([]int{1}, 1), nil, "WithAttribute needs a key that can be compared, not []int"},
		"no attribute key":   {parley.WithAttribute(nil, 1), nil, "WithAttribute needs a key that can be compared, not <nil>"},
		"one in a list":      {parley.WithOptions(parley.WithHeader("X-A", "1"), parley.WithCookie("", "")), parley.ErrInvalidHeader, "a cookie's name must be a token"},
	} {
		_, err := parley.New(test.option)
		require.ErrorContains(t, err, "parley: new client: ", name)
		require.ErrorContains(t, err, test.text, name)
		_, derived := c.With(test.option)
		require.EqualError(t, derived, err.Error(), name)
		_, call := c.Get(t.Context(), "x", test.option)
		require.ErrorContains(t, call, "GET http://a.test/x: request: ", name)
		require.ErrorContains(t, call, test.text, name)
		_, alone := parley.NewRequest("GET", "http://a.test/x", test.option)
		require.EqualError(t, alone, call.Error(), name)
		for _, err := range []error{err, call, alone} {
			require.NotContains(t, err.Error(), "\n", name)
			if test.kind != nil {
				require.ErrorIs(t, err, test.kind, name)
			}
		}
		var e *parley.Error
		require.ErrorAs(t, call, &e, name)
		require.Equal(t, []any{parley.PhaseRequest, parley.NotSent, 0}, []any{e.Phase, e.Sent, e.Attempt}, name)
	}
}

func TestOption_aBadValueOfASessionIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		option parley.ClientOption
		kind   error
		text   string
	}{
		"relative base URL": {parley.WithBaseURL("a.test/v1"), parley.ErrInvalidURL, "write http:// or https:// before the host"},
		"no base URL":       {parley.WithBaseURL(""), parley.ErrInvalidURL, "write http:// or https:// before the host"},
		"foreign scheme":    {parley.WithBaseURL("ftp://a.test"), parley.ErrUnsupportedProtocol, `"ftp"`},
		"trusted origin":    {parley.WithTrustedOrigins("a.test"), parley.ErrInvalidURL, "write http:// or https:// before the host"},
		"limits":            {parley.WithPoolLimits(parley.PoolLimits{Soft: 9, Hard: 3}), nil, "the soft limit 9 is above the hard limit 3"},
		"transport":         {parley.WithTransport(nil), nil, "WithTransport needs a transport"},
		"dialer":            {parley.WithDialer(nil), nil, "WithDialer needs a dialer"},
		"middleware":        {parley.WithMiddleware(nil), nil, "WithMiddleware needs middleware"},
		"network middleware": {
			parley.WithNetworkMiddleware(func(next parley.Transport) parley.Transport { return next }, nil), nil, "WithNetworkMiddleware needs middleware",
		},
		"close hook": {parley.WithCloseHook(nil), nil, "WithCloseHook needs a function"},
	} {
		_, err := parley.New(test.option)
		require.ErrorContains(t, err, "parley: new client: ", name)
		require.ErrorContains(t, err, test.text, name)
		require.NotContains(t, err.Error(), "\n", name)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, name)
		}
	}
	_, err := parley.NewPool(parley.PoolConfig{Limits: parley.PoolLimits{Soft: 9, Hard: 3}})
	require.ErrorContains(t, err, "the soft limit 9 is above the hard limit 3")
}

func TestOption_aBadValueOfARequestIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithBaseURL("http://a.test"))
	for name, test := range map[string]struct {
		option parley.RequestOption
		kind   error
		text   string
	}{
		"JSON":         {parley.WithJSON(math.NaN()), nil, "encode float64 as JSON: "},
		"XML":          {parley.WithXML(map[string]string{}), nil, "encode the XML body: "},
		"form":         {parley.WithForm(7), nil, "give Params, url.Values, a map with string keys or a struct with url tags"},
		"file":         {parley.WithBodyFile("no/such/file"), fs.ErrNotExist, "no/such/file"},
		"folder":       {parley.WithBodyFile("testdata"), nil, "not a regular file"},
		"trailer":      {parley.WithTrailer("X-A", nil), nil, `trailer "X-A": no function for its value`},
		"trailer name": {parley.WithTrailer("a b", func() string { return "" }), parley.ErrInvalidHeader, `header "a b": `},
		"host":         {parley.WithHost("a.test/x"), parley.ErrInvalidHeader, "WithHost takes a host with or without a port"},
		"path":         {parley.WithPath("id", "1"), parley.ErrInvalidURL, `the path has no placeholder {id}`},
		"target":       {parley.WithTarget("a b"), parley.ErrInvalidHeader, "target"},
	} {
		_, err := c.Get(t.Context(), "x", test.option)
		require.ErrorContains(t, err, "GET http://a.test/x: request: ", name)
		require.ErrorContains(t, err, test.text, name)
		require.NotContains(t, err.Error(), "\n", name)
		if test.kind != nil {
			require.ErrorIs(t, err, test.kind, name)
		}
	}
	require.Zero(t, c.Stats().Dials)
}

func TestOption_headerOrderAndSpellingOnTheWire(t *testing.T) {
	t.Parallel()
	s := wiretest.Serve(t, wiretest.Answer(func(*wiretest.Conn, *wiretest.Request) string { return answer("", "Set-Cookie: c=1") }))
	session := []parley.ClientOption{parley.WithHeader("X-B", "2"), parley.WithHeader("X-A", "1"), parley.WithHeader("User-Agent", "own")}
	host := s.Addr()
	c := sessionTo(t, s, append(session, parley.WithHeaderOrder("user-agent", "x-b", "Never-There", "HOST", "ACCEPT"))...)
	require.Equal(t, lines("GET /x HTTP/1.1", "HOST: "+host, "user-agent: own", "x-b: 2", "ACCEPT: */*", "Accept-Encoding: gzip, deflate, br, zstd", "X-A: 1"), wireOf(t, s, c, "x"))
	require.Equal(t, lines("GET /x HTTP/1.1", "Host: "+host, "x-A: 1", "cookie: c=1", "Accept: */*", "Accept-Encoding: gzip, deflate, br, zstd", "User-Agent: own", "X-B: 2"),
		wireOf(t, s, c, "x", parley.WithHeaderOrder("x-A", "cookie")), "the request's order replaces the session's")

	before := s.Text()
	_, err := c.Post(t.Context(), "x", parley.WithText("hi"), parley.WithHeaderOrder("content-length", "CONTENT-TYPE"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(strings.TrimPrefix(s.Text(), before),
		"POST /x HTTP/1.1\r\nHost: "+host+"\r\ncontent-length: 2\r\nCONTENT-TYPE: text/plain; charset=utf-8\r\nAccept: "), s.Text())
}

func TestOption_severalAreOne(t *testing.T) {
	t.Parallel()
	api := parley.WithOptions(
		parley.WithOptions(parley.WithHeader("X-A", "1"), parley.WithQuery("a", "1")),
		parley.WithTimeout(time.Minute), parley.WithOptions())
	check := func(req *parley.Request, err error) {
		t.Helper()
		require.NoError(t, err)
		require.Equal(t, []any{"1", "a=1", time.Minute}, []any{req.Header.Get("X-A"), req.URL.RawQuery, req.Timeouts.Total})
	}
	check(newSession(t, api).NewRequest("GET", "http://a.test"))
	check(newSession(t).NewRequest("GET", "http://a.test", api))
	check(parley.NewRequest("GET", "http://a.test", api))
}

// An option can be used for any number of sessions and requests: what it was given
// is copied.
func TestOption_keepsNothingOfTheCallers(t *testing.T) {
	t.Parallel()
	h := http.Header{"X-A": {"1"}}
	names := []string{"X-A"}
	opt := parley.WithOptions(parley.WithHeaders(h), parley.WithHeaderOrder(names...))
	h["X-A"][0], names[0] = "changed", "changed"
	h.Set("X-B", "added")
	req, err := parley.NewRequest("GET", "http://a.test", opt)
	require.NoError(t, err)
	require.Equal(t, http.Header{"X-A": {"1"}}, req.Header)
	require.Equal(t, []string{"X-A"}, req.HeaderOrder)
}
