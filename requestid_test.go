package parley_test

import (
	"context"
	"log/slog"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

var madeID = regexp.MustCompile(`X-Request-Id: ([0-9a-f]{32})\r\n`)

func TestRequestID_isOneForAllRequestsOfACallOnItsOrigin(t *testing.T) {
	t.Parallel()
	other := wiretest.Serve(t, wiretest.Echo())
	s := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		switch r.URL.Path {
		case "/1":
			return leads(302, "/2")
		case "/2":
			return leads(302, other.URL())
		}
		return wiretest.OK("")
	}))
	var log safeBuffer
	c := newSession(t, parley.WithRequestID(parley.RequestID{}), parley.WithLogger(jsonLogger(&log, slog.LevelDebug)))
	resp, err := c.Get(t.Context(), s.URL()+"/1")
	require.NoError(t, err)
	require.NotContains(t, other.Text(), "X-Request-Id", "to another origin it does not go")
	ids := madeID.FindAllStringSubmatch(s.Text(), -1)
	require.Len(t, ids, 2)
	require.Equal(t, ids[0][1], ids[1][1])
	require.Equal(t, ids[0][1], resp.History[0].Request.Header.Get("X-Request-Id"))
	for _, r := range records(t, &log) {
		require.Equal(t, ids[0][1], r["request_id"])
	}
	require.Contains(t, log.String(), `"X-Request-Id":"`+ids[0][1]+`"`, "it is there to be seen")
	_, err = c.Get(t.Context(), s.URL())
	require.NoError(t, err)
	ids = madeID.FindAllStringSubmatch(s.Text(), -1)
	require.NotEqual(t, ids[0][1], ids[2][1], "each call has its own")
}

func TestRequestID_whereItComesFrom(t *testing.T) {
	t.Parallel()
	fromContext := func(ctx context.Context) string {
		id, _ := ctx.Value(contextKey{}).(string)
		return id
	}
	type ids = parley.RequestID
	for name, row := range map[string]struct {
		id      parley.RequestID
		opts    []parley.RequestOption
		context string
		header  string
		want    string // "": a random one; "-": none
	}{
		"a function of the context":      {ids{From: fromContext}, nil, "given", "X-Request-Id", "given"},
		"nothing from the function":      {ids{From: fromContext}, nil, "", "X-Request-Id", ""},
		"another header":                 {ids{Header: "x-correlation-id", From: fromContext}, nil, "given", "X-Correlation-Id", "given"},
		"the request's header":           {ids{From: fromContext}, []parley.RequestOption{parley.WithHeader("x-request-id", "own")}, "given", "X-Request-Id", "own"},
		"the request wants none":         {ids{}, []parley.RequestOption{parley.WithoutRequestID()}, "", "X-Request-Id", "-"},
		"the request says it in its way": {ids{}, []parley.RequestOption{parley.WithRequestID(ids{Header: "Id"})}, "", "Id", ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newSession(t, parley.WithRequestID(row.id), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Got"] = r.Header.Values(row.header)
			})))
			resp, err := c.Get(context.WithValue(t.Context(), contextKey{}, row.context), "http://a.test/", row.opts...)
			require.NoError(t, err)
			got := resp.Header.Values("Got")
			switch row.want {
			case "-":
				require.Empty(t, got)
			case "":
				require.Len(t, got, 1)
				require.Len(t, got[0], 32)
			default:
				require.Equal(t, []string{row.want}, got)
			}
		})
	}
}

func TestRequestID_thatCannotBeSent(t *testing.T) {
	t.Parallel()
	c := newSession(t, parley.WithRequestID(parley.RequestID{From: func(context.Context) string { return "a\r\nX: y" }}))
	_, err := c.Get(t.Context(), "http://127.0.0.1:1/")
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
	_, err = parley.New(parley.WithRequestID(parley.RequestID{Header: "no name"}))
	require.ErrorIs(t, err, parley.ErrInvalidHeader)
	_, err = parley.New(parley.WithRequestID(parley.RequestID{Header: "cookie"}))
	require.ErrorContains(t, err, "Cookie has another meaning")
}
