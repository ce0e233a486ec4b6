package parley_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/parleytest"
)

// refusing answers every request with a status of 403.
func refusing(t *testing.T, content string, header ...string) *parley.Client {
	t.Helper()
	return saying(t, strings.Replace(answer(content, header...), "200 OK", "403 Forbidden", 1))
}

// statusErrors gives the error of an answer that was read, and of one that was not.
func statusErrors(t *testing.T, c *parley.Client) map[string]*parley.StatusError {
	t.Helper()
	found := map[string]*parley.StatusError{}
	read, err := c.Get(t.Context(), "x")
	require.NoError(t, err)
	streamed, err := c.Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	for name, resp := range map[string]*parley.Response{"read": read, "streamed": streamed} {
		var status *parley.StatusError
		require.ErrorAs(t, resp.Err(), &status)
		found[name] = status
		require.NoError(t, resp.Close())
	}
	return found
}

func TestProblem_isReadFromItsDocument(t *testing.T) {
	t.Parallel()
	const asJSON, asXML = "application/problem+json", "application/problem+xml; charset=utf-8"
	whole := &parley.Problem{
		Type: "https://a.test/credit", Title: "No credit", Status: 403, Detail: "30 of 50", Instance: "/msgs/1",
		Extensions: map[string]json.RawMessage{"balance": json.RawMessage("30"), "accounts": json.RawMessage(`["/1"]`)},
	}
	for name, test := range map[string]struct {
		contentType, content string
		want                 *parley.Problem
	}{
		"whole": {
			asJSON, `{"type":"https://a.test/credit","title":"No credit","status":403,"detail":"30 of 50","instance":"/msgs/1","balance":30,"accounts":["/1"]}`, whole,
		},
		"in another charset": {asJSON, "\xff\xfe" + inUTF16(`{"title":"é"}`), &parley.Problem{Type: "about:blank", Title: "é"}},
		"in any case":        {"Application/Problem+JSON; charset=utf-8", `{"title":"t"}`, &parley.Problem{Type: "about:blank", Title: "t"}},
		"empty":              {asJSON, `{}`, &parley.Problem{Type: "about:blank"}},
		"members of another type are as if they were not there": {
			asJSON, `{"type":1,"title":["a"],"status":"403","detail":null,"instance":{}}`, &parley.Problem{Type: "about:blank"},
		},
		"no object":                 {asJSON, `[]`, nil},
		"nothing":                   {asJSON, `null`, nil},
		"no JSON":                   {asJSON, `<p>`, nil},
		"an empty body":             {asJSON, ``, nil},
		"of another type":           {"application/json", `{"title":"t"}`, nil},
		"without a type":            {"", `{"title":"t"}`, nil},
		"too large to be looked at": {asJSON, `{"title":"` + strings.Repeat("a", 70_000) + `"}`, nil},
		"larger than the first 4 KiB": {
			asJSON, `{"detail":"` + strings.Repeat("a", 60_000) + `"}`, &parley.Problem{Type: "about:blank", Detail: strings.Repeat("a", 60_000)},
		},
		"XML": {
			asXML, `<?xml version="1.0"?><problem xmlns="urn:ietf:rfc:7807"><type>https://a.test/credit</type><title>No credit</title>` +
				`<status> 403 </status><detail>30</detail><instance>/1</instance><balance>30</balance><list><i>1</i></list></problem>`,
			&parley.Problem{
				Type: "https://a.test/credit", Title: "No credit", Status: 403, Detail: "30", Instance: "/1",
				Extensions: map[string]json.RawMessage{"balance": json.RawMessage(`"30"`)},
			},
		},
		"XML without a status": {asXML, `<problem><status>none</status><title>a</title><title>b</title></problem>`, &parley.Problem{Type: "about:blank", Title: "a"}},
		"other XML":            {asXML, `<error/>`, nil},
		"no XML":               {asXML, `{}`, nil},
		"XML cut short":        {asXML, `<problem><title>a`, nil},
	} {
		var head []string
		if test.contentType != "" {
			head = []string{"Content-Type: " + test.contentType}
		}
		for way, status := range statusErrors(t, refusing(t, test.content, head...)) {
			require.Equal(t, test.want, status.Problem, "%s, %s", name, way)
			require.Equal(t, test.content[:min(len(test.content), 4096)], string(status.Body), "%s, %s", name, way)
			var problem *parley.Problem
			require.Equal(t, test.want != nil, errors.As(fmt.Errorf("wrapped: %w", status), &problem), "%s, %s", name, way)
			require.Equal(t, test.want, problem, name)
		}
	}
}

func TestProblem_sparesTheTextOfErrors(t *testing.T) {
	t.Parallel()
	c := refusing(t, `{"type":"t\u0007","title":"`+strings.Repeat("a", 500)+`","detail":"SECRET","token":"SECRET"}`, "Content-Type: application/problem+json")
	for _, status := range statusErrors(t, c) {
		require.Regexp(t, `^GET http://[0-9.:]+/x: status 403 Forbidden$`, status.Error())
		require.Equal(t, `problem t\a: `+strings.Repeat("a", 128)+"...", status.Problem.Error())
		for _, shown := range []string{fmt.Sprintf("%v %+v %#v %s", status, status, status, status), fmt.Sprintf("%v %+v %s", status.Problem, status.Problem, status.Problem)} {
			require.NotContains(t, shown, "SECRET")
		}
	}
	require.Equal(t, "problem about:blank", (&parley.Problem{Type: "about:blank"}).Error())
}

func TestStatusError_decodesItsBody(t *testing.T) {
	t.Parallel()
	type failure struct {
		Code int
		Pad  string
	}
	pad := strings.Repeat("a", 10_000)
	content := `{"code":7,"pad":"` + pad + `"}`
	for name, status := range statusErrors(t, refusing(t, content, "Content-Type: application/json")) {
		for range 2 {
			var got failure
			require.NoError(t, status.Decode(&got), name)
			require.Equal(t, failure{7, pad}, got, "beyond the first 4 KiB, too")
		}
		var text string
		require.NoError(t, status.Decode(&text), name)
		require.Equal(t, content, text, name)
		require.Len(t, status.Body, 4096)
	}
	for name, status := range statusErrors(t, refusing(t, "<p>no", "Content-Type: text/html")) {
		err := status.Decode(&failure{})
		require.ErrorIs(t, err, parley.ErrDecoding, name)
		require.ErrorAs(t, err, new(*parley.Error), name)
		require.ErrorContains(t, err, "/x: decode: ", name)
	}
	byHand := &parley.StatusError{Body: []byte(`{"code":8}`)}
	var got failure
	require.NoError(t, byHand.Decode(&got))
	require.Equal(t, 8, got.Code)
	require.NoError(t, errors.Unwrap(byHand))
}

func TestStatusError_saysWhenABodyWasTooLongToBeReadAhead(t *testing.T) {
	t.Parallel()
	for contentType, limit := range map[string]int{"application/json": 64 << 10, "text/plain": 4 << 10} {
		for _, over := range []int{0, 1} {
			content := `"` + strings.Repeat("a", limit+over-2) + `"`
			found := statusErrors(t, refusing(t, content, "Content-Type: "+contentType))
			var text string
			require.NoError(t, found["read"].Decode(&text))
			require.Equal(t, content, text)
			err := found["streamed"].Decode(&text)
			if over == 0 {
				require.NoError(t, err, contentType)
				continue
			}
			require.ErrorIs(t, err, parley.ErrDecoding)
			require.ErrorContains(t, err, fmt.Sprintf("only its first %d bytes were read", limit))
		}
	}
	s := parleytest.NewFaultServer(t, parleytest.EachRequest(
		parleytest.SayAndClose("HTTP/1.1 500 Oops\r\nContent-Type: application/problem+json\r\nContent-Length: 100\r\n\r\n{}"),
	))
	resp, err := s.Client().Stream(t.Context(), "GET", "x")
	require.NoError(t, err)
	var status *parley.StatusError
	require.ErrorAs(t, resp.Err(), &status)
	require.Nil(t, status.Problem, "the document is not all there")
	require.ErrorIs(t, status.Decode(new(any)), parley.ErrDecoding)
	require.NoError(t, resp.Close())
}
