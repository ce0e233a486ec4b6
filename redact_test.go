package parley_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// seen gives the dump of a request and its answer under a redaction.
func seen(t testing.TB, method, url string, answer http.HandlerFunc, opts ...parley.RequestOption) string {
	t.Helper()
	var out safeBuffer
	c := newSession(t, parley.WithDump(&out, 1<<16), parley.WithHandler(answer))
	resp, err := c.Request(t.Context(), method, url, opts...)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	return out.String()
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestRedaction_parameters(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"a=1&b=2":                         "a=1&b=2",
		"api_key=x&API-KEY=x&apiKey=x":    "api_key=[hidden]&API-KEY=[hidden]&apiKey=[hidden]",
		"user%5Bpassword%5D=x&pa%73s=x":   "user%5Bpassword%5D=[hidden]&pa%73s=[hidden]",
		"key=x&keyword=a&monkey=b":        "key=[hidden]&keyword=a&monkey=b",
		"X-Amz-Credential=x&X-Amz-Date=d": "X-Amz-Credential=[hidden]&X-Amz-Date=d",
		"author=me&auth=x&oauth_nonce=n":  "author=me&auth=[hidden]&oauth_nonce=n",
		"token&token=&sessionid=x":        "token&token=&sessionid=[hidden]",
		"code=x&zipcode=1":                "code=[hidden]&zipcode=1",
	} {
		require.Contains(t, seen(t, "GET", "http://a.test/?"+query, nothing), "GET /?"+want+" HTTP/1.1\n", query)
	}
	dump := seen(t, "GET", "http://a.test/?page_token=shown&customer=x&token=y", nothing,
		parley.WithRedaction(parley.Redaction{ShowParams: []string{"pageToken", "customer"}}),
		parley.WithRedaction(parley.Redaction{HideParams: []string{"Customer"}}))
	require.Contains(t, dump, "/?page_token=shown&customer=[hidden]&token=[hidden] ", "hiding wins")
}

func TestRedaction_members(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"token":"x","a":1}`:                        `{"token":"[hidden]","a":1}`,
		`{"token" : {"a":[1,"}"]} , "b":"token"}`:    `{"token" : "[hidden]" , "b":"token"}`,
		`[{"pin":1234},{"pin":null,"c":true}]`:       `[{"pin":"[hidden]"},{"pin":"[hidden]","c":true}]`,
		`{"to\u006ben":"x"}`:                         `{"to\u006ben":"[hidden]"}`,
		`{"a":"\"token\":\"shown\""}`:                `{"a":"\"token\":\"shown\""}`,
		`{"token":"cut off`:                          `{"token":"[hidden]"`,
		`{"password":[1,{"x":`:                       `{"password":"[hidden]"`,
		`{"token":`:                                  `{"token":`,
		` {"secret":"\\"}` + "\n" + `{"secret":"x"}`: ` {"secret":"[hidden]"}` + "\n" + `{"secret":"[hidden]"}`,
		`no "token":"json"`:                          `no "token":"json"`,
	} {
		dump := seen(t, "GET", "http://a.test/", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.WriteString(w, body); err != nil {
				panic(err)
			}
		})
		require.True(t, strings.HasSuffix(strings.TrimRight(dump, "\n"), "\n\n"+want), "%s: %s", body, dump)
	}
}

func TestRedaction_headersOfAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range [][3]string{
		{"Server", "x", "x"}, {"Etag", `"x"`, `"x"`}, {"X-Subject-Token", "x", "[hidden]"}, {"Www-Authenticate", "Basic", "[hidden]"},
		{"Set-Cookie", "a=b; path=/; Secure; odd=c; SameSite=Lax", "a=[hidden]; path=/; Secure; SameSite=Lax"}, {"Set-Cookie", "odd", "[hidden]"},
		{"Location", "https://u:p@b.test/x?code=y&z=1#token", "https://b.test/x?code=[hidden]&z=1"}, {"Location", "/x", "/x"},
		{"Location", "mailto:x", "[hidden]"}, {"Location", "ht!tp://%", "[hidden]"},
	} {
		dump := seen(t, "GET", "http://a.test/", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(row[0], row[1]) })
		require.Contains(t, dump, "\n"+row[0]+": "+row[2]+"\n")
	}
}

func TestRedaction_inExplanations(t *testing.T) {
	t.Parallel()
	var out safeBuffer
	c := newSession(t, parley.WithDump(&out, 5), parley.WithRecorder(parley.NewRecorder(7)), parley.WithRequestID(parley.RequestID{Header: "Id"}),
		parley.WithHAR(parley.NewHAR(parley.HARConfig{})), parley.WithHeader("X-Mine", "value"))
	req, err := c.NewRequest("GET", "http://a.test/", parley.WithRedaction(parley.Redaction{ShowHeaders: []string{"x-mine"}, HideParams: []string{"a"}}),
		parley.WithHAR(nil), parley.WithLogger(jsonLogger(&out, 0)))
	require.NoError(t, err)
	e, err := c.Explain(req)
	require.NoError(t, err)
	for _, line := range []string{
		"header     X-Mine: value (session)",
		"setting    Logger: *slog.JSONHandler (request)",
		"setting    Dump: to *parley_test.safeBuffer, at most 5 bytes of a body (session)",
		"setting    Recorder: the last 7 calls (session)",
		"setting    HAR: none (request)",
		"setting    RequestID: Id (session)",
		"setting    Redaction: headers shown: Id, X-Mine; parameters hidden: a (request)",
	} {
		require.Contains(t, e.String(), line)
	}
	_, err = parley.New(parley.WithRedaction(parley.Redaction{ShowHeaders: []string{"a b"}}))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
}

func TestRedaction_ofADerivedSession(t *testing.T) {
	t.Parallel()
	var out, other safeBuffer
	c := newSession(t, parley.WithDump(&out, 0), parley.WithHandler(http.HandlerFunc(nothing)), parley.WithHeaders(http.Header{"X-A": {"a"}, "X-B": {"b"}}),
		parley.WithRedaction(parley.Redaction{ShowHeaders: []string{"X-A"}}))
	d := derive(t, c, parley.WithDump(&other, 0), parley.WithRedaction(parley.Redaction{ShowHeaders: []string{"X-B"}}))
	for _, c := range []*parley.Client{c, d} {
		_, err := c.Get(t.Context(), "http://a.test/")
		require.NoError(t, err)
	}
	require.Contains(t, out.String(), "X-A: a\nX-B: [hidden]\n", "what a derived session says is not said of the other")
	require.Contains(t, other.String(), "X-A: a\nX-B: b\n")
}
