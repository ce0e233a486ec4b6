package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

func TestBatch_answersAreMatchedByTheirIDs(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, serveRPC)
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL), "")
	batch := rpc.NewBatch()
	sum := api.BatchCall[int](batch, "add", []int{1, 2, 4})
	batch.Notify("log", []any{"summed up"})
	failed := api.BatchCall[int](batch, "fail", nil)
	text := api.BatchCall[map[string]string](batch, "echo", map[string]string{"a": "b"})
	misfit := api.BatchCall[int](batch, "echo", []string{"x"})
	require.Equal(t, 5, batch.Len())
	_, err := sum.Result()
	require.ErrorContains(t, err, "has not been sent")
	require.NoError(t, batch.Send(t.Context(), parley.WithHeader("X-Of", "batch")))

	got := server.one(t)
	require.Equal(t, "batch", got.Header.Get("X-Of"))
	require.Equal(t, `[{"jsonrpc":"2.0","method":"add","params":[1,2,4],"id":1},{"jsonrpc":"2.0","method":"log","params":["summed up"]},`+
		`{"jsonrpc":"2.0","method":"fail","id":2},{"jsonrpc":"2.0","method":"echo","params":{"a":"b"},"id":3},{"jsonrpc":"2.0","method":"echo","params":["x"],"id":4}]`, got.Body)
	for range 2 { // results can be asked for again
		n, err := sum.Result()
		require.NoError(t, err)
		require.Equal(t, 7, n)
		_, err = failed.Result()
		require.ErrorIs(t, err, &api.RPCError{Code: -32001})
		m, err := text.Result()
		require.NoError(t, err)
		require.Equal(t, map[string]string{"a": "b"}, m)
		_, err = misfit.Result()
		require.ErrorIs(t, err, parley.ErrDecoding)
	}
	require.ErrorContains(t, batch.Send(t.Context()), "sent already")
	_, err = api.BatchCall[int](batch, "add", nil).Result()
	require.ErrorContains(t, err, "sent already")
	require.Empty(t, server.all())
}

func TestBatch_withoutCalls(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, serveRPC)
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL), "")
	require.NoError(t, rpc.NewBatch().Send(t.Context()))
	require.Empty(t, server.all(), "an empty batch is not sent")
	batch := rpc.NewBatch()
	batch.Notify("a", nil)
	batch.Notify("b", nil)
	require.NoError(t, batch.Send(t.Context()))
	require.Equal(t, `[{"jsonrpc":"2.0","method":"a"},{"jsonrpc":"2.0","method":"b"}]`, server.one(t).Body)

	batch = rpc.NewBatch()
	good := api.BatchCall[int](batch, "add", []int{1})
	api.BatchCall[int](batch, "add", 7)
	batch.Notify("", nil)
	err := batch.Send(t.Context())
	require.ErrorContains(t, err, "params are a slice")
	require.ErrorContains(t, err, "needs the name of a method")
	_, resultErr := good.Result()
	require.Equal(t, err, resultErr)
	require.Empty(t, server.all(), "a batch with a mistake is not sent")
}

func TestBatch_hostileAnswers(t *testing.T) {
	t.Parallel()
	status, answer := 200, ""
	server := newRPCServer(t, func(w http.ResponseWriter, r *http.Request) {
		var calls []rpcCall
		json.NewDecoder(r.Body).Decode(&calls)
		rpcSays(status, strings.NewReplacer("ID1", string(calls[0].ID), "ID2", string(calls[1].ID)).Replace(answer))(w, r)
	})
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL, parley.WithMaxBodyBytes(1<<20)), "")
	const one, two = `{"jsonrpc":"2.0","result":1,"id":ID1}`, `{"jsonrpc":"2.0","result":2,"id":ID2}`
	const stray = `{"jsonrpc":"2.0","error":{"code":-32600,"message":"Invalid Request"},"id":null}`
	invalid := &api.RPCError{Code: api.CodeInvalidRequest}
	type want struct{ send, one, two error } // nil: none
	for name, test := range map[string]struct {
		status int
		answer string
		want
	}{
		"in order":                             {200, `[` + one + `,` + two + `]`, want{}},
		"in another order":                     {200, ` [` + two + `,` + one + `] `, want{}},
		"one is missing":                       {200, `[` + two + `]`, want{one: api.ErrMissingAnswer}},
		"all are missing":                      {200, `[]`, want{one: api.ErrMissingAnswer, two: api.ErrMissingAnswer}},
		"an unknown id":                        {200, `[` + one + `,{"jsonrpc":"2.0","result":3,"id":12345},` + two + `]`, want{send: api.ErrUnknownID}},
		"a text for an id":                     {200, `[` + one + `,{"jsonrpc":"2.0","result":2,"id":"ID2"}]`, want{send: api.ErrUnknownID, two: api.ErrMissingAnswer}},
		"a result without an id":               {200, `[` + one + `,{"jsonrpc":"2.0","result":2},` + two + `]`, want{send: api.ErrUnknownID}},
		"two for one":                          {200, `[` + one + `,` + one + `,` + two + `]`, want{one: api.ErrDuplicateID}},
		"three for one":                        {200, `[` + one + `,` + two + `,` + one + `,` + one + `]`, want{one: api.ErrDuplicateID}},
		"an error for no call":                 {200, `[` + one + `,` + stray + `,` + two + `]`, want{send: invalid}},
		"an error in place of a call's":        {200, `[` + one + `,` + stray + `]`, want{send: invalid, two: api.ErrMissingAnswer}},
		"a broken answer with an id":           {200, `[` + one + `,{"jsonrpc":"2.0","id":ID2}]`, want{two: api.ErrInvalidAnswer}},
		"a broken answer without one":          {200, `[` + one + `,7,` + two + `]`, want{send: api.ErrInvalidAnswer}},
		"null among them":                      {200, `[null,` + one + `,` + two + `]`, want{send: api.ErrInvalidAnswer}},
		"an error for the whole":               {200, stray, want{invalid, invalid, invalid}},
		"one answer for the whole":             {200, one, want{api.ErrInvalidAnswer, api.ErrInvalidAnswer, api.ErrInvalidAnswer}},
		"nothing":                              {200, ``, want{api.ErrMissingAnswer, api.ErrMissingAnswer, api.ErrMissingAnswer}},
		"no JSON":                              {200, `oops`, want{parley.ErrDecoding, parley.ErrDecoding, parley.ErrDecoding}},
		"cut short":                            {200, `[` + one, want{parley.ErrDecoding, parley.ErrDecoding, parley.ErrDecoding}},
		"huge":                                 {200, `[` + one + strings.Repeat(" ", 1<<20) + `]`, want{parley.ErrBodyTooLarge, parley.ErrBodyTooLarge, parley.ErrBodyTooLarge}},
		"thousands of strangers":               {200, `[` + strings.Repeat(`7,`, 10_000) + one + `,` + two + `]`, want{send: api.ErrInvalidAnswer}},
		"a status and answers":                 {500, `[` + one + `,` + two + `]`, want{}},
		"a status and an error for the whole":  {400, stray, want{invalid, invalid, invalid}},
		"a status and some answers":            {500, `[` + one + `,` + stray + `]`, want{send: invalid}},
		"a status and no JSON-RPC":             {502, `<html>`, want{}},
		"a status and another kind of JSON":    {502, `{"message":"bad gateway"}`, want{}},
		"a status and nothing at all for them": {502, ``, want{}},
	} {
		status, answer = test.status, test.answer
		batch := rpc.NewBatch()
		first, second := api.BatchCall[int](batch, "a", nil), api.BatchCall[int](batch, "b", nil)
		err := batch.Send(t.Context())
		a, errA := first.Result()
		b, errB := second.Result()
		check := func(what string, err, is error) {
			t.Helper()
			switch {
			case is != nil:
				require.ErrorIs(t, err, is, "%s: %s", name, what)
				require.Less(t, len(err.Error()), 10_000)
			case test.status == 200:
				require.NoError(t, err, "%s: %s", name, what)
			}
		}
		check("Send", err, test.send)
		check("the first", errA, test.one)
		check("the second", errB, test.two)
		require.Equal(t, errA == nil, a == 1, name)
		require.Equal(t, errB == nil, b == 2, name)
		if test.status != 200 {
			require.ErrorAs(t, err, new(*parley.StatusError), name)
			require.Equal(t, strings.HasPrefix(test.answer, "["+one), errA == nil, name)
			if errB != nil && !strings.Contains(name, "the whole") {
				require.ErrorAs(t, errB, new(*parley.StatusError), name)
			}
		}
	}
}

// FuzzBatch answers a batch of two calls with the input. Whatever that is, a call gets a
// result only from the one answer that bears its id.
func FuzzBatch(f *testing.F) {
	for _, answer := range []string{
		`[{"jsonrpc":"2.0","result":1,"id":1},{"jsonrpc":"2.0","result":2,"id":2}]`, `[{"jsonrpc":"2.0","result":1,"id":2},{"jsonrpc":"2.0","result":1,"id":2}]`,
		`{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error","data":[1]},"id":null}`, `[]`, `[1,2,3]`, ``, `null`, `[{"jsonrpc":"2.0","result":null,"id":1.0}]`,
		`[{"jsonrpc":"2.0","error":{"code":1,"message":"x"},"id":1},{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}]`, `[{"id":1e0,"id":2}]`,
	} {
		f.Add(200, []byte(answer))
		f.Add(500, []byte(answer))
	}
	var status int
	var answer []byte
	c, err := parley.New(parley.WithEnv(false), parley.WithTransport(parley.TransportFunc(func(_ context.Context, req *parley.Request) (*parley.Response, error) {
		return &parley.Response{
			StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{"Content-Type": {"application/json"}},
			ContentLength: int64(len(answer)), Body: io.NopCloser(strings.NewReader(string(answer))), Request: req,
		}, nil
	})))
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, code int, text []byte) {
		status, answer = 200+code%400, text
		if status < 200 {
			status = 200
		}
		rpc := api.NewJSONRPC(c, "http://a.test/")
		batch := rpc.NewBatch()
		results := []*api.BatchResult[json.RawMessage]{api.BatchCall[json.RawMessage](batch, "a", nil), api.BatchCall[json.RawMessage](batch, "b", nil)}
		sendErr := batch.Send(t.Context())
		var items []map[string]json.RawMessage
		var raw []json.RawMessage
		if json.Unmarshal(text, &raw) == nil {
			for _, one := range raw {
				var m map[string]json.RawMessage
				_ = json.Unmarshal(one, &m)
				items = append(items, m)
			}
		}
		for i, r := range results {
			got, err := r.Result()
			var bearers []map[string]json.RawMessage
			for _, m := range items {
				var id float64
				if m["id"] != nil && string(m["id"]) != "null" && json.Unmarshal(m["id"], &id) == nil && id == float64(i+1) {
					bearers = append(bearers, m)
				}
			}
			if err == nil {
				require.Len(t, bearers, 1)
				require.Equal(t, string(bearers[0]["result"]), string(got))
				require.Equal(t, `"2.0"`, string(bearers[0]["jsonrpc"]))
				require.NotContains(t, bearers[0], "error")
				continue
			}
			if sendErr == nil && len(bearers) == 0 {
				require.ErrorIs(t, err, api.ErrMissingAnswer)
			}
			if len(bearers) > 1 {
				require.ErrorIs(t, err, api.ErrDuplicateID)
			}
			require.LessOrEqual(t, len(err.Error()), 20_000)
		}
	})
}
