package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// asEvents and asParts write payloads as servers do.
func asEvents(payloads ...string) (contentType, body string) {
	for _, p := range payloads {
		body += "event: next\ndata: " + p + "\n\n"
	}
	return "text/event-stream", body + "event: complete\ndata:\n\n"
}

func asParts(payloads ...string) (contentType, body string) {
	for _, p := range payloads {
		body += "\r\n---\r\nContent-Type: application/json; charset=utf-8\r\n\r\n" + p
	}
	return `multipart/mixed; boundary="-"; deferSpec=20220824`, body + "\r\n-----\r\n"
}

// steps gives what a loop over a subscription gave: data, errors in braces, and at the end
// what ended it.
func steps(t *testing.T, c *parley.Client, opts ...parley.RequestOption) (got []string, last error) {
	t.Helper()
	for answer, err := range api.NewGraph(c, "graphql").Subscribe(t.Context(), "subscription { a }", nil, opts...) {
		if err != nil {
			require.Nil(t, answer)
			require.NoError(t, last, "only one error ends the loop")
			last = err
			continue
		}
		require.NoError(t, last, "nothing comes after an error")
		text := string(answer.Data)
		for _, e := range answer.Errors {
			text += "{" + e.Message + "}"
		}
		if answer.HasNext {
			text += "…"
		}
		got = append(got, text)
	}
	return got, last
}

func TestSubscribe_payloadsAreMerged(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		payloads []string
		want     []string
		is       error
	}{
		"results one after another": {
			[]string{`{"data":{"a":1}}`, `{"data":{"a":2},"errors":[{"message":"x"}]}`, `{"data":null,"errors":[{"message":"y"}]}`, `{"data":{"b":3}}`},
			[]string{`{"a":1}`, `{"a":2}{x}`, `null{y}`, `{"b":3}`}, nil,
		},
		"errors before it was executed": {[]string{`{"errors":[{"message":"x"}]}`}, []string{`{x}`}, nil},
		"deferred, by paths": {
			[]string{
				`{"data":{"a":{"b":1},"n":12345678901234567890},"hasNext":true}`,
				`{"incremental":[{"path":["a"],"data":{"c":{"d":1}}},{"path":["a","c"],"label":"L","data":{"e":2}}],"hasNext":true}`,
				`{"incremental":[{"path":[],"data":{"z":true}}],"hasNext":false}`,
			},
			[]string{`{"a":{"b":1},"n":12345678901234567890}…`, `{"a":{"b":1,"c":{"d":1,"e":2}},"n":12345678901234567890}…`, `{"a":{"b":1,"c":{"d":1,"e":2}},"n":12345678901234567890,"z":true}`}, nil,
		},
		"streamed, by paths": {
			[]string{
				`{"data":{"l":[1]},"hasNext":true}`, `{"incremental":[{"path":["l",1],"items":[2,3]}],"hasNext":true}`,
				`{"incremental":[{"path":["l",2],"items":[4,5]}],"hasNext":true}`, `{"hasNext":false}`,
			},
			[]string{`{"l":[1]}…`, `{"l":[1,2,3]}…`, `{"l":[1,2,4,5]}…`}, nil,
		},
		"patches by themselves, as they were once": {
			[]string{`{"data":{"l":[{"a":1}]},"hasNext":true}`, `{"path":["l",0],"data":{"b":2},"hasNext":true}`, `{"path":["l",1],"data":{"a":3},"errors":[{"message":"x"}],"hasNext":false}`},
			[]string{`{"l":[{"a":1}]}…`, `{"l":[{"a":1,"b":2}]}…`, `{"l":[{"a":1,"b":2},{"a":3}]}{x}`}, nil,
		},
		"by ids": {
			[]string{
				`{"data":{"p":{"n":1,"l":[]}},"pending":[{"id":"0","path":["p"]},{"id":"1","path":["p","l"],"label":"s"}],"hasNext":true}`,
				`{"incremental":[{"id":"0","data":{"h":{"x":1}}},{"id":"0","subPath":["h"],"data":{"y":2}},{"id":"1","items":["a"]}],"completed":[{"id":"0"}],"hasNext":true}`,
				`{"pending":[{"id":"2","path":["p","h"]}],"incremental":[{"id":"1","items":["b","c"],"errors":[{"message":"x"}]}],"hasNext":true}`,
				`{"completed":[{"id":"1"},{"id":"2","errors":[{"message":"lost"}]}],"hasNext":false}`,
			},
			[]string{`{"p":{"n":1,"l":[]}}…`, `{"p":{"h":{"x":1,"y":2},"l":["a"],"n":1}}…`, `{"p":{"h":{"x":1,"y":2},"l":["a","b","c"],"n":1}}{x}…`, `{"p":{"h":{"x":1,"y":2},"l":["a","b","c"],"n":1}}{lost}`}, nil,
		},
		"the first payload has parts, too": {
			[]string{`{"data":{"a":{}},"incremental":[{"path":["a"],"data":{"b":1}}],"hasNext":false}`}, []string{`{"a":{"b":1}}`}, nil,
		},
		"lists are joined item by item": {
			[]string{`{"data":{"l":[{"a":1},{"a":2}]},"hasNext":true}`, `{"incremental":[{"path":[],"data":{"l":[{"b":1},{"b":2},{"b":3}]}}],"hasNext":false}`},
			[]string{`{"l":[{"a":1},{"a":2}]}…`, `{"l":[{"a":1,"b":1},{"a":2,"b":2},{"b":3}]}`}, nil,
		},
		"a part that failed leaves the rest": {
			[]string{`{"data":{"a":1},"hasNext":true}`, `{"incremental":[{"path":[],"data":null,"errors":[{"message":"x"}]},{"path":["l",0],"items":null}],"extensions":{"c":1},"hasNext":false}`},
			[]string{`{"a":1}…`, `{"a":1}{x}`}, nil,
		},
		"an object in the place of a value": {
			[]string{`{"data":{"a":1,"l":2},"hasNext":true}`, `{"incremental":[{"path":[],"data":{"a":{"b":1},"l":[1]}}],"hasNext":false}`}, []string{`{"a":1,"l":2}…`, `{"a":{"b":1},"l":[1]}`}, nil,
		},
		"no path like that":       {[]string{`{"data":{"a":1},"hasNext":true}`, `{"incremental":[{"path":["b"],"data":{}}],"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"a path through a value":  {[]string{`{"data":{"a":1},"hasNext":true}`, `{"incremental":[{"path":["a","b"],"data":{}}],"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"an index in an object":   {[]string{`{"data":{"a":{}},"hasNext":true}`, `{"incremental":[{"path":["a",0],"data":{}}],"hasNext":false}`}, []string{`{"a":{}}…`}, api.ErrNotGraph},
		"an index far beyond":     {[]string{`{"data":{"a":[]},"hasNext":true}`, `{"incremental":[{"path":["a",1000000000],"items":[1]}],"hasNext":false}`}, []string{`{"a":[]}…`}, api.ErrNotGraph},
		"an item far beyond":      {[]string{`{"data":{"a":[]},"hasNext":true}`, `{"incremental":[{"path":["a",2,"b"],"data":{}}],"hasNext":false}`}, []string{`{"a":[]}…`}, api.ErrNotGraph},
		"items without an index":  {[]string{`{"data":{"a":[]},"hasNext":true}`, `{"incremental":[{"path":["a"],"items":[1]}],"hasNext":false}`}, []string{`{"a":[]}…`}, api.ErrNotGraph},
		"items without a path":    {[]string{`{"data":{"a":[]},"hasNext":true}`, `{"incremental":[{"items":[1]}],"hasNext":false}`}, []string{`{"a":[]}…`}, api.ErrNotGraph},
		"items that are no list":  {[]string{`{"data":{"a":[]},"hasNext":true}`, `{"incremental":[{"path":["a",0],"items":1}],"hasNext":false}`}, []string{`{"a":[]}…`}, api.ErrNotGraph},
		"items where no list is":  {[]string{`{"data":{"a":{}},"hasNext":true}`, `{"incremental":[{"path":["a",0],"items":[1]}],"hasNext":false}`}, []string{`{"a":{}}…`}, api.ErrNotGraph},
		"an unknown id":           {[]string{`{"data":{"a":1},"hasNext":true}`, `{"incremental":[{"id":"7","data":{}}],"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"an unknown id completed": {[]string{`{"data":{"a":1},"hasNext":true}`, `{"completed":[{"id":"7"}],"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"parts of another form":   {[]string{`{"data":{"a":1},"hasNext":true}`, `{"incremental":7,"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"a patch of another form": {[]string{`{"data":{"a":1},"hasNext":true}`, `{"path":7,"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"null for an error":       {[]string{`{"data":{"a":1},"hasNext":true}`, `{"incremental":[{"path":[],"data":{},"errors":[null]}],"hasNext":false}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"null for a step's error": {[]string{`{"data":{"a":1},"hasNext":true}`, `{"hasNext":false,"errors":[null]}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"text for hasNext":        {[]string{`{"data":{"a":1},"hasNext":true}`, `{"hasNext":"x"}`}, []string{`{"a":1}…`}, api.ErrNotGraph},
		"a part before the data":  {[]string{`{"incremental":[{"path":[],"data":{}}],"hasNext":true}`}, nil, api.ErrNotGraph},
		"a part after the end":    {[]string{`{"data":{"a":1}}`, `{"incremental":[{"path":[],"data":{}}]}`}, []string{`{"a":1}`}, api.ErrNotGraph},
		"no object":               {[]string{`{"data":{"a":1}}`, `[]`}, []string{`{"a":1}`}, api.ErrNotGraph},
		"no JSON":                 {[]string{`{"data":{"a":1}}`, `oops`}, []string{`{"a":1}`}, parley.ErrDecoding},
		"more than was announced": {[]string{`{"data":{"a":1},"hasNext":true}`}, []string{`{"a":1}…`}, io.ErrUnexpectedEOF},
	} {
		for _, as := range []func(...string) (string, string){asEvents, asParts} {
			contentType, body := as(test.payloads...)
			c := newRPCClient(t, "http://a.test/", parley.WithHandler(graphSays(contentType, 200, body)))
			got, err := steps(t, c)
			require.Equal(t, test.want, got, "%s: %s", name, contentType)
			if test.is == nil {
				require.NoError(t, err, "%s: %s", name, contentType)
			} else {
				require.ErrorIs(t, err, test.is, "%s: %s", name, contentType)
			}
		}
	}
}

func TestSubscribe_events(t *testing.T) {
	t.Parallel()
	const next = "event: next\ndata: {\"data\":{\"a\":1}}\n\n"
	for name, test := range map[string]struct {
		body string
		want []string
		is   error
	}{
		"complete with data":           {next + "event: complete\ndata: {}\n\n", []string{`{"a":1}`}, nil},
		"complete without data":        {next + "event: complete\n\n", []string{`{"a":1}`}, nil},
		"what follows is of no use":    {next + "event: complete\n\n" + next, []string{`{"a":1}`}, nil},
		"lines that end with CRLF":     {strings.ReplaceAll(next+"event: complete\n\n", "\n", "\r\n"), []string{`{"a":1}`}, nil},
		"a byte order mark":            {"\uFEFF" + next + "event: complete\n\n", []string{`{"a":1}`}, nil},
		"data in several lines":        {"event:next\ndata:{\"data\":\ndata: {\"a\":\ndata:1}}\n\nevent:complete\n\n", []string{"{\"a\":\n1}"}, nil},
		"comments and other fields":    {":\n\n: ping\nid: 1\nretry: 1\nx\nevent: ping\ndata: {}\n\n" + next + "data: {}\n\nevent: complete\n\n", []string{`{"a":1}`}, nil},
		"a next without data":          {"event: next\n\n" + next + "event: complete\n\n", []string{`{"a":1}`}, nil},
		"a next with empty data":       {"event: next\ndata\n\n", nil, parley.ErrDecoding},
		"the end came too early":       {next, []string{`{"a":1}`}, io.ErrUnexpectedEOF},
		"… in the middle of an event":  {next + "event: complete\n", []string{`{"a":1}`}, parley.ErrRead},
		"nothing at all":               {"", nil, parley.ErrNetwork},
		"an event that is too large":   {"event: next\ndata: " + strings.Repeat("x", 3000) + "\n\n", nil, parley.ErrBodyTooLarge},
		"too large in many lines":      {"event: next\n" + strings.Repeat("data: "+strings.Repeat("x", 1900)+"\n", 9000), nil, parley.ErrBodyTooLarge},
		"bytes that are not UTF-8":     {"event: next\ndata: {\"data\":{\"\xff\":1}}\n\nevent: complete\n\n", []string{"{\"\xff\":1}"}, nil},
		"an error of the operation":    {"event: next\ndata: {\"errors\":[{\"message\":\"x\"}]}\n\nevent: complete\n\n", []string{"{x}"}, nil},
		"complete with hasNext before": {"event: next\ndata: {\"data\":{},\"hasNext\":true}\n\nevent: complete\n\n", []string{"{}…"}, io.ErrUnexpectedEOF},
	} {
		c := newRPCClient(t, "http://a.test/", parley.WithHandler(graphSays("text/event-stream; charset=utf-8", 200, test.body)))
		got, err := steps(t, c, parley.WithMaxItemBytes(2000))
		require.Equal(t, test.want, got, name)
		if test.is == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, test.is, name)
		}
	}
}

func TestSubscribe_parts(t *testing.T) {
	t.Parallel()
	cut := func(body string, n int) string { return body[:len(body)-n] }
	_, one := asParts(`{"data":{"a":1}}`)
	_, wrapped := asParts(`{}`, `{"payload":{"data":{"a":1}}}`, `{}`, `{"payload":{"data":{"a":2},"errors":[{"message":"x"}]}}`, `{"payload":null,"errors":[{"message":"over"}]}`)
	_, both := asParts(`{"payload":{"data":{"a":1}},"errors":[{"message":"over"}]}`)
	_, last := asParts(`{"data":{"a":1},"hasNext":true}`, `{"hasNext":false}`)
	_, large := asParts(`{"data":{"a":"` + strings.Repeat("x", 3000) + `"}}`)
	_, tail := asParts(`{"data":{"a":1}} {}`)
	for name, test := range map[string]struct {
		body string
		want []string
		is   error
	}{
		"one":                        {one, []string{`{"a":1}`}, nil},
		"a subscription of Apollo's": {wrapped, []string{`{"a":1}`, `{"a":2}{x}`, `{over}`}, nil},
		"a payload and errors":       {both, []string{`{"a":1}`, `{over}`}, nil},
		"none":                       {"-----", nil, nil},
		"without the last boundary":  {cut(one, 9), []string{`{"a":1}`}, parley.ErrDecoding},
		"… which need not be there":  {cut(last, 9), []string{`{"a":1}…`}, nil},
		"too large":                  {large, nil, parley.ErrBodyTooLarge},
		"something after a payload":  {tail, []string{`{"a":1}`}, api.ErrNotGraph},
	} {
		c := newRPCClient(t, "http://a.test/", parley.WithHandler(graphSays(`multipart/mixed;boundary="-";subscriptionSpec=1.0`, 200, test.body)))
		got, err := steps(t, c, parley.WithMaxItemBytes(2000))
		require.Equal(t, test.want, got, name)
		if test.is == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, test.is, name)
		}
	}
}

func TestSubscribe_oneAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		typ    string
		status int
		body   string
		want   []string
		is     error
	}{
		"of GraphQL":              {graphType, 200, `{"data":{"a":1}}`, []string{`{"a":1}`}, nil},
		"with a status":           {graphType, 400, `{"errors":[{"message":"x"}]}`, []string{`{x}`}, nil},
		"that is none":            {"application/json", 200, `{}`, nil, api.ErrNotGraph},
		"events with a status":    {"text/event-stream", 201, "event: complete\n\n", nil, parley.ErrDecoding},
		"parts without a border":  {"multipart/mixed", 200, "", nil, parley.ErrDecoding},
		"a page of somebody else": {"text/html", 200, "<html>", nil, parley.ErrDecoding},
	} {
		c := newRPCClient(t, "http://a.test/", parley.WithHandler(graphSays(test.typ, test.status, test.body)))
		got, err := steps(t, c)
		require.Equal(t, test.want, got, name)
		if test.is == nil {
			require.NoError(t, err, name)
		} else {
			require.ErrorIs(t, err, test.is, name)
		}
	}
	for _, typ := range []string{"text/event-stream", "multipart/mixed; boundary=b", "application/json"} {
		c := newRPCClient(t, "http://a.test/", parley.WithHandler(graphSays(typ, 503, `{"errors":[{"message":"x"}]}`)))
		got, err := steps(t, c)
		require.Empty(t, got)
		require.ErrorAs(t, err, new(*parley.StatusError), typ)
	}
}

func TestSubscribe_requests(t *testing.T) {
	t.Parallel()
	contentType, body := asEvents()
	server := newRPCServer(t, graphSays(contentType, 200, body))
	c := newRPCClient(t, server.URL)
	_, err := steps(t, c)
	require.NoError(t, err)
	got := server.one(t)
	require.Equal(t, `POST /graphql {"query":"subscription { a }"}`, got.Method+" "+got.Target+" "+got.Body)
	require.Equal(t, "text/event-stream, multipart/mixed;incrementalSpec=v0.2;q=0.9, multipart/mixed;deferSpec=20220824;q=0.9, multipart/mixed;subscriptionSpec=1.0;q=0.9, "+
		"application/graphql-response+json;q=0.8, application/json;q=0.7", got.Header.Get("Accept"))
	require.Equal(t, "no-cache", got.Header.Get("Cache-Control"))
	_, err = steps(t, c, parley.WithHeader("Accept", "multipart/mixed"), api.WithGET(true), api.WithPersistedQueries(true))
	require.NoError(t, err)
	got = server.one(t)
	require.Equal(t, "GET /graphql?query=subscription+%7B+a+%7D", got.Method+" "+got.Target)
	require.Equal(t, "multipart/mixed", got.Header.Get("Accept"))

	for _, err := range api.Subscribe[any](t.Context(), api.NewGraph(c, ""), "mutation { a }", nil, api.WithGET(true)) {
		require.ErrorContains(t, err, "a mutation must not be sent by GET")
	}
	for _, err := range api.Subscribe[any](t.Context(), api.NewGraph(c, ""), "{a}", 7) {
		require.ErrorContains(t, err, "variables are a map")
	}
	require.Empty(t, server.all())
}

func TestSubscribe_resultsAreTyped(t *testing.T) {
	t.Parallel()
	contentType, body := asEvents(`{"data":{"n":1}}`, `{"data":{"n":"x"}}`, `{"data":{"n":3},"errors":[{"message":"x"}]}`, `{"data":{"n":4}}`)
	c := newRPCClient(t, "http://a.test/", parley.WithHandler(graphSays(contentType, 200, body)))
	type tick struct{ N int }
	var got []int
	n := 0
	for v, err := range api.Subscribe[tick](t.Context(), api.NewGraph(c, ""), "subscription { n }", nil) {
		got = append(got, v.N)
		switch n++; n {
		case 2:
			require.ErrorIs(t, err, parley.ErrDecoding)
		case 3:
			require.ErrorAs(t, err, new(api.GraphErrors))
		default:
			require.NoError(t, err)
		}
	}
	require.Equal(t, []int{1, 0, 3, 4}, got)
}

// live serves payloads one by one, each framed and sent once it is asked for, and says when
// the client is gone.
func live(t *testing.T, contentType, opening string, frame func(payload string) string) (c *parley.Client, payloads chan<- string, gone <-chan struct{}) {
	t.Helper()
	wiretest.Guard(t, time.Minute)
	feed, left := make(chan string), make(chan struct{})
	server := newRPCServer(t, func(w http.ResponseWriter, r *http.Request) {
		defer close(left)
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, opening)
		for {
			select {
			case p := <-feed:
				io.WriteString(w, frame(p))
				w.(http.Flusher).Flush()
			case <-r.Context().Done():
				return
			}
		}
	})
	return newRPCClient(t, server.URL), feed, left
}

func asEvent(payload string) string { return "event: next\ndata: " + payload + "\n\n" }

func TestSubscribe_resultsComeAtOnce(t *testing.T) {
	t.Parallel()
	for name, form := range map[string]struct {
		contentType, opening string
		frame                func(string) string
	}{
		"events": {"text/event-stream", ":\n\n", asEvent},
		"parts with the boundary before them": {
			"multipart/mixed; boundary=b", "", func(p string) string { return "\r\n--b\r\n\r\n" + p },
		},
		"parts with the boundary after them": {
			"multipart/mixed; boundary=b", "--b", func(p string) string { return "\r\nContent-Type: application/json\r\n\r\n" + p + "\r\n--b" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, payloads, gone := live(t, form.contentType, form.opening, form.frame)
			go func() { payloads <- `{"data":{"n":0}}` }()
			n := 0
			for v, err := range api.Subscribe[struct{ N int }](t.Context(), api.NewGraph(c, ""), "subscription { n }", nil) {
				require.NoError(t, err)
				require.Equal(t, n, v.N)
				if n++; n == 4 {
					break
				}
				payloads <- fmt.Sprintf(`{"data":{"n":%d}}`, n)
			}
			<-gone // leaving the loop ends the subscription
		})
	}
}

func TestSubscribe_endsWithItsContext(t *testing.T) {
	t.Parallel()
	c, payloads, gone := live(t, "text/event-stream", "", asEvent)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { payloads <- `{"data":{"n":0}}` }()
	var last error
	n := 0
	for _, err := range api.Subscribe[any](ctx, api.NewGraph(c, ""), "subscription { n }", nil) {
		n++
		if last = err; err == nil {
			cancel()
		}
	}
	require.ErrorIs(t, last, context.Canceled)
	require.Equal(t, 2, n)
	<-gone
}

func TestSubscribe_aLostConnectionIsTold(t *testing.T) {
	t.Parallel()
	server := wiretest.Serve(t, wiretest.Answer(func(c *wiretest.Conn, _ *wiretest.Request) string {
		c.Say("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n2a\r\nevent: next\ndata: {\"data\":{\"a\":1}}\n\neve\r\n")
		return ""
	}))
	got, err := steps(t, newRPCClient(t, server.URL()))
	require.Equal(t, []string{`{"a":1}`}, got)
	require.ErrorIs(t, err, parley.ErrNetwork)
}

// FuzzSubscribe feeds a stream of events or parts. Every result is an answer of GraphQL,
// and what ends the loop has a kind.
func FuzzSubscribe(f *testing.F) {
	for _, as := range []func(...string) (string, string){asEvents, asParts} {
		for _, payloads := range [][]string{
			{`{"data":{"a":1}}`}, {`{}`, `{"payload":{"data":{"a":1}}}`, `{"payload":null,"errors":[{"message":"x"}]}`},
			{`{"data":{"l":[{}]},"hasNext":true}`, `{"incremental":[{"path":["l",0],"data":{"b":[1]}},{"path":["l",1],"items":[1]}],"hasNext":false}`},
			{`{"data":{"l":[]},"pending":[{"id":"0","path":["l"]}],"hasNext":true}`, `{"incremental":[{"id":"0","items":[1]}],"completed":[{"id":"0"}],"hasNext":false}`},
			{`{"data":{"l":[1]},"hasNext":true}`, `{"path":["l",1],"data":{"a":null},"hasNext":false}`},
		} {
			contentType, body := as(payloads...)
			f.Add(body, contentType == "text/event-stream")
		}
	}
	var typ, text string
	c, err := parley.New(parley.WithEnv(false), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		graphSays(typ, 200, text)(w, r)
	})))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, body string, events bool) {
		if typ, text = `multipart/mixed; boundary="-"`, body; events {
			typ = "text/event-stream"
		}
		var last error
		for answer, err := range api.NewGraph(c, "http://a.test/").Subscribe(t.Context(), "{a}", nil) {
			require.NoError(t, last)
			if last = err; err == nil {
				require.True(t, answer.Data == nil || json.Valid(answer.Data))
			}
		}
		if last != nil {
			var whole *parley.Error
			require.ErrorAs(t, last, &whole)
			require.Less(t, len(last.Error()), 2000)
		}
	})
}
