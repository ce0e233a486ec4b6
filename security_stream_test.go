package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
	"github.com/seed-0474a412/parley/parleytest"
)

// Event streams and multipart answers: S155, S181 to S183, S197 and S201. What concerns
// all ways of sending is with the others, under S018, S084, S135 and S196.

// streams is an event stream that ends.
func streams(text string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
}

// hastily connects again with as little delay as possible.
var hastily = parley.WithEventsPolicy(parley.EventsPolicy{Retry: time.Nanosecond, MinRetry: time.Nanosecond})

func TestS181_AReconnectTakesNothingToAnotherOrigin(t *testing.T) {
	t.Parallel()
	eachStatus(t, "http://b.test/feed", func(t *testing.T, answers map[string]string) {
		answers["http://b.test/feed"] = streams("id: FROM-B\ndata: x\n\n")
		x := newCrossing(t, answers, parley.WithBearerToken("SECRET"), parley.WithHeader("X-Key", "SECRET"), hastily)
		x.client.Jar().SetCookies(mustParse("http://a.test/"), []*http.Cookie{{Name: "sid", Value: "SECRET"}})
		events := 0
		for e, err := range x.client.Events(t.Context(), "http://a.test/start",
			parley.WithCookie("c", "SECRET"), parley.WithHeader("Last-Event-ID", "FROM-A")) {
			require.NoError(t, err)
			require.Equal(t, "FROM-B", e.ID)
			if events++; events == 3 {
				break
			}
		}
		seen := x.seen()
		require.Len(t, seen, 6)
		for i, r := range seen {
			if i%2 == 0 {
				require.Equal(t, "GET http://a.test/start", r.String(), "every try begins where the first one did")
				require.Equal(t, "Bearer SECRET", r.Header.Get("Authorization"))
				require.Equal(t, "SECRET", r.Header.Get("X-Key"))
				require.NotContains(t, r.Head, "FROM-B")
			} else {
				require.Equal(t, "GET http://b.test/feed", r.String())
				require.NotContains(t, r.Head, "FROM-A")
			}
		}
		require.Equal(t, "FROM-A", seen[0].Header.Get("Last-Event-Id"))
		require.Equal(t, []string{"", "FROM-B", "FROM-B"}, []string{
			seen[1].Header.Get("Last-Event-Id"), seen[3].Header.Get("Last-Event-Id"), seen[5].Header.Get("Last-Event-Id"),
		}, "who gave the id gets it back, and nobody else")
		x.unseen(t, "http://b.test", credentialHeaders...)
	})
}

func TestS181_AnIDDoesNotOutliveAMove(t *testing.T) {
	t.Parallel()
	asked := 0
	var seen []string
	transport := parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		seen = append(seen, req.URL.Host+" "+req.Header.Get("Last-Event-Id"))
		answer := func(status int, header http.Header, body string) (*parley.Response, error) {
			return &parley.Response{StatusCode: status, Status: fmt.Sprint(status), Header: header, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
		}
		events := http.Header{"Content-Type": {"text/event-stream"}}
		if req.URL.Host != "a.test" {
			return answer(200, events, "data: "+req.URL.Host+"\n\n")
		}
		asked++
		switch asked {
		case 1:
			return answer(200, events, "id: FROM-A\ndata: a\n\n")
		case 2:
			return answer(307, http.Header{"Location": {"http://b.test/"}}, "")
		case 3:
			return answer(307, http.Header{"Location": {"http://A.TEST.:80/again"}}, "")
		}
		return answer(200, events, "data: end\n\n")
	})
	c := newSession(t, parley.WithTransport(transport), parley.WithEnv(false), hastily)
	var ids []string
	for e, err := range c.Events(t.Context(), "http://a.test/") {
		require.NoError(t, err)
		if ids = append(ids, e.Data+" "+e.ID); e.Data == "end" {
			break
		}
	}
	require.Equal(t, []string{"a FROM-A", "b.test ", "end "}, ids)
	require.Equal(t, []string{"a.test ", "a.test FROM-A", "b.test ", "a.test ", "a.test "}, seen)
}

func TestS182_NothingOfAStreamGrowsWithoutBound(t *testing.T) {
	for name, test := range map[string]struct {
		piece string
		bound bool // an error comes, else it goes on
	}{
		"data without a blank line": {"data: x\n", true},
		"empty data":                {"data:\n", true},
		"a line without an end":     {"data: x", true},
		"comments":                  {": x\n", false},
		"ids, types and the rest":   {"id: 1\nevent: x\nretry: 1\nwhat: x\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			wiretest.Guard(t, guardTime)
			body := []byte(strings.Repeat(test.piece, (8<<20)/len(test.piece)))
			s, ended := pouring(t, head("Content-Type: text/event-stream\r\n"), body)
			c := wireClient(t, parley.WithBaseURL(s.URL()), hastily)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			boundedHeap(t, func() {
				if !test.bound {
					resp, err := c.Stream(ctx, "GET", "x")
					require.NoError(t, err)
					time.AfterFunc(200*time.Millisecond, cancel) // the server holds the connection
					for _, err := range resp.Events() {
						require.ErrorIs(t, err, context.Canceled)
					}
					return
				}
				steps := 0
				for _, err := range c.Events(ctx, "x") {
					steps++
					require.ErrorIs(t, err, parley.ErrBodyTooLarge)
				}
				require.Equal(t, 1, steps)
				require.Equal(t, 1, s.Accepted(), "and no other try")
			})
			<-ended
		})
	}
}

func TestS183_EveryLineEndIsOneWhereverTheStreamIsCut(t *testing.T) {
	t.Parallel()
	const stream = "id: 1\ndata: a\ndata: b\n\nevent: x\ndata: c\r\n\r\nid: a\x00b\ndata: d\r\rdata: e\n\n"
	want := []parley.Event{
		{Type: "message", Data: "a\nb", ID: "1"}, {Type: "x", Data: "c", ID: "1"},
		{Type: "message", Data: "d", ID: "1"}, {Type: "message", Data: "e", ID: "1"},
	}
	read := func(body io.Reader) (got []parley.Event) {
		for e, err := range unread(body).Events() {
			require.NoError(t, err)
			got = append(got, e)
		}
		return got
	}
	for cut := range len(stream) + 1 {
		require.Equal(t, want, read(io.MultiReader(strings.NewReader(stream[:cut]), strings.NewReader(stream[cut:]))))
	}
	require.Equal(t, want, read(iotest.OneByteReader(strings.NewReader(stream))))
}

func TestS183_AnIDNeverBecomesMoreThanAHeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		id   string
		sent bool
	}{
		"plain":            {"17", true},
		"UTF-8":            {"\u4e2d\u00e4", true},
		"blanks inside":    {"a b: c, d", true},
		"4 KiB":            {strings.Repeat("x", 4<<10), true},
		"more than 4 KiB":  {strings.Repeat("x", 4<<10+1), false},
		"64 KiB":           {strings.Repeat("x", 64<<10), false},
		"a control byte":   {"a\x01b", false},
		"DEL":              {"a\x7fb", false},
		"a NUL is ignored": {"a\x00b", false},
	} {
		t.Run(name, func(t *testing.T) {
			x := newCrossing(t, map[string]string{"http://a.test/": streams("id: " + test.id + "\ndata: x\n\n")}, hastily)
			n := 0
			for e, err := range x.client.Events(t.Context(), "http://a.test/") {
				require.NoError(t, err)
				if !strings.Contains(test.id, "\x00") {
					require.Equal(t, test.id, e.ID)
				}
				if n++; n == 2 {
					break
				}
			}
			seen := x.seen()
			require.Len(t, seen, 2)
			line := "\r\nLast-Event-Id: " + test.id + "\r\n"
			require.Equal(t, test.sent, strings.Contains(seen[1].Head, line))
			require.Equal(t, test.sent, strings.Contains(strings.ToLower(seen[1].Head), "last-event-id"))
			require.Equal(t, strings.Count(seen[0].Head, "\n")+map[bool]int{true: 1}[test.sent], strings.Count(seen[1].Head, "\n"), "no other line")
		})
	}
}

func TestS197_ServersDoNotSetTheWaitBeyondTheLimits(t *testing.T) {
	t.Parallel()
	const least, most, base = time.Second, time.Minute, 3 * time.Second
	opened := says("data: x\n\n")
	busy := func(v string) http.Handler { return parleytest.WithHeader("Retry-After", v, parleytest.Status(503)) }
	past := "Sat, 01 Jan 2000 00:00:00 GMT" // in the bubble it is later
	soon := "Sat, 01 Jan 2000 00:00:30 GMT"
	for name, test := range map[string]struct {
		answer    http.Handler
		low, high time.Duration
	}{
		"Retry-After of centuries":    {busy("99999999999"), most, most},
		"beyond all numbers":          {busy("99999999999999999999999"), most, most},
		"negative":                    {busy("-5"), base, 3 * base},
		"zero":                        {busy("0"), base, 3 * base},
		"a date in the past":          {busy(past), base, 3 * base},
		"a date":                      {busy(soon), 20 * time.Second, 45 * time.Second},
		"a date far ahead":            {busy("Fri, 31 Dec 9999 23:59:59 GMT"), most, most},
		"garbage":                     {busy("soon"), base, 3 * base},
		"much garbage":                {busy(strings.Repeat(",\xa0\\\"", 10_000)), base, 3 * base},
		"20 seconds":                  {busy("20"), 20 * time.Second, 30 * time.Second},
		"retry of years":              {says("retry: 99999999999999999999\n\ndata: x\n\n"), most, most},
		"retry of zero":               {says("retry: 0\n\ndata: x\n\n"), least, 3 * least / 2},
		"retry with an exponent":      {says("retry: 1e3\n\ndata: x\n\n"), base, 3 * base / 2},
		"retry below zero":            {says("retry: -1\n\ndata: x\n\n"), base, 3 * base / 2},
		"retry without an event":      {says("retry: 5000\n\n"), 10 * time.Second, 15 * time.Second},
		"retry that was not finished": {says("data: x\n\nretry: 50000"), base, 3 * base / 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFeed(t, opened, test.answer, parleytest.Status(204))
				policy := parley.WithEventsPolicy(parley.EventsPolicy{Retry: base, MinRetry: least, MaxRetry: most})
				_, err := follow(t.Context(), f.client(policy), "")
				require.NoError(t, err)
				gap := f.at()[2] - f.at()[1]
				require.GreaterOrEqual(t, gap, test.low)
				require.LessOrEqual(t, gap, test.high)

				f = newFeed(t, opened, test.answer, parleytest.Status(204))
				f.route.Optional()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(5*time.Second, cancel) // during one of the waits, or soon after
				_, err = follow(ctx, f.client(policy), "")
				if err != nil {
					require.ErrorIs(t, err, context.Canceled)
					require.Equal(t, 5*time.Second, time.Since(f.began), "at once")
				}
			})
		})
	}
}

func TestS201_ReconnectsNeverHammer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer http.Handler
		least  time.Duration // that 20 tries take
	}{
		"each is closed at once":       {says(""), 20 * time.Second},
		"each is broken off":           {breaksAfter(": x\n"), 20 * time.Second},
		"each asks for no delay":       {says("retry: 0\n\n"), 20 * time.Second},
		"each has an event":            {says("retry: 0\ndata: x\n\n"), 20 * parley.DefaultEventsMinRetry},
		"the server has an error":      {parleytest.Status(500), 20 * time.Second},
		"it wants to be left in peace": {parleytest.WithHeader("Retry-After", "30", parleytest.Status(429)), 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := append([]http.Handler{says("data: x\n\n")}, slices.Repeat([]http.Handler{test.answer}, 20)...)
				f := newFeed(t, append(answers, parleytest.Status(204))...)
				_, err := follow(t.Context(), f.client(parley.WithEventsPolicy(parley.EventsPolicy{MaxTries: -1})), "")
				require.NoError(t, err)
				at := f.at()
				require.Len(t, at, 22)
				require.GreaterOrEqual(t, at[21], test.least)
				for i := 1; i < len(at); i++ {
					require.GreaterOrEqual(t, at[i]-at[i-1], parley.DefaultEventsMinRetry)
				}
			})
		})
	}
}

func TestS201_ReconnectsAreSpreadOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		waits := make(map[time.Duration]bool)
		for range 10 {
			f := newFeed(t, says("data: x\n\n"), parleytest.Status(204))
			_, err := follow(t.Context(), f.client(), "")
			require.NoError(t, err)
			waits[f.at()[1]] = true
		}
		require.Greater(t, len(waits), 5)
	})
}

func TestS201_WhatTheServerForbidsIsNotTriedAgain(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer string
		check  func(error) bool
	}{
		"204":               {"HTTP/1.1 204 No Content\r\n\r\n", func(err error) bool { return err == nil }},
		"401":               {"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", hasStatus(401)},
		"403":               {"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", hasStatus(403)},
		"another type":      {wiretest.OK("data: x\n\n"), func(err error) bool { return errors.Is(err, parley.ErrDecoding) }},
		"a type like it":    {strings.Replace(streams("data: x\n\n"), "event-stream", "event-streams", 1), func(err error) bool { return errors.Is(err, parley.ErrDecoding) }},
		"no HTTP, at first": {"nonsense\r\n\r\n", func(err error) bool { return errors.Is(err, parley.ErrRemoteProtocol) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newCrossing(t, map[string]string{"http://a.test/": test.answer}, hastily)
			var last error
			for _, last = range x.client.Events(t.Context(), "http://a.test/") {
			}
			require.True(t, test.check(last), "%v", last)
			require.Len(t, x.seen(), 1)
		})
	}
}

func hasStatus(code int) func(error) bool {
	return func(err error) bool {
		var status *parley.StatusError
		return errors.As(err, &status) && status.StatusCode == code
	}
}

func TestS084_AnEventStreamIsNotCutInSilence(t *testing.T) {
	t.Parallel()
	x := newCrossing(t, map[string]string{"http://a.test/": head("Content-Type: text/event-stream\r\n"+chunkedLine) + chunk(strings.Repeat("data: x\n\n", 500)) + "0\r\n\r\n"}, hastily)
	n, last := 0, error(nil)
	for _, err := range x.client.Events(t.Context(), "http://a.test/", parley.WithMaxBodyBytes(1024)) {
		if last = err; err == nil {
			n++
		}
	}
	require.ErrorIs(t, last, parley.ErrBodyTooLarge)
	require.Equal(t, 1024/9, n)
	require.Len(t, x.seen(), 1, "it is not tried again")
	require.Zero(t, x.client.Stats().Idle)
}

func TestS155_PartsAreBounded(t *testing.T) {
	wiretest.Guard(t, guardTime)
	for name, test := range map[string]struct {
		body  io.Reader
		parts int
	}{
		"many empty parts":    {strings.NewReader(strings.Repeat("--b\r\n\r\n\r\n", 100_000)), 10_000},
		"many header lines":   {strings.NewReader("--b\r\n" + strings.Repeat("a: b\r\n", 100_000)), 0},
		"a few too many":      {strings.NewReader("--b\r\n" + strings.Repeat("a: b\r\n", 1001) + "\r\n\r\n--b--"), 0},
		"one large header":    {io.MultiReader(strings.NewReader("--b\r\na: "), io.LimitReader(repeated('x'), 64<<20)), 0},
		"a header of blanks":  {io.MultiReader(strings.NewReader("--b\r\na: b\r\n"), io.LimitReader(repeated(' '), 64<<20)), 0},
		"a large second part": {io.MultiReader(strings.NewReader("--b\r\n\r\nx\r\n--b\r\na: "), io.LimitReader(repeated('x'), 64<<20)), 1},
	} {
		bounded := boundedHeap
		if test.parts > 1 { // each is garbage as soon as the next one is asked for
			bounded = func(_ *testing.T, f func()) { f() }
		}
		bounded(t, func() {
			n, last := 0, error(nil)
			for _, err := range multipartAnswer("multipart/mixed; boundary=b", test.body).Parts() {
				if last = err; err == nil {
					n++
				}
			}
			require.ErrorIs(t, last, parley.ErrBodyTooLarge, name)
			require.Equal(t, test.parts, n, name)
		})
	}
}

// repeated is a byte without end.
type repeated byte

func (b repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}
