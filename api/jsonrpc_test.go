package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// rpcCall is what a server of JSON-RPC got.
type rpcCall struct {
	JSONRPC string
	Method  string
	Params  json.RawMessage
	ID      json.RawMessage
}

// serveRPC answers single calls and batches: "add" adds numbers, "echo" gives its params,
// "fail" fails. Batches are answered from the last to the first.
func serveRPC(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if body[0] != '[' {
		var c rpcCall
		if json.Unmarshal(body, &c) != nil || c.ID == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		rpcSays(200, answerRPC(c))(w, r)
		return
	}
	var calls []rpcCall
	var answers []string
	if err := json.Unmarshal(body, &calls); err != nil {
		rpcSays(200, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"Parse error"},"id":null}`)(w, r)
		return
	}
	for i := len(calls) - 1; i >= 0; i-- {
		if calls[i].ID != nil {
			answers = append(answers, answerRPC(calls[i]))
		}
	}
	if answers == nil {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	rpcSays(200, "["+strings.Join(answers, ", ")+"]")(w, r)
}

func answerRPC(c rpcCall) string {
	result := string(c.Params)
	switch c.Method {
	case "add":
		var numbers []int
		if err := json.Unmarshal(c.Params, &numbers); err != nil {
			return fmt.Sprintf(`{"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params"},"id":%s}`, c.ID)
		}
		sum := 0
		for _, n := range numbers {
			sum += n
		}
		result = fmt.Sprint(sum)
	case "fail":
		return fmt.Sprintf(`{"jsonrpc":"2.0","error":{"code":-32001,"message":"no luck","data":{"retry":3}},"id":%s}`, c.ID)
	}
	if result == "" {
		result = "null"
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","result":%s,"id":%s}`, result, c.ID)
}

func TestJSONRPC_requestsOnTheWire(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, serveRPC)
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL), "rpc", parley.WithHeader("X-Of", "all"))
	type named struct {
		A int `json:"a"`
	}
	var none []int
	for name, test := range map[string]struct {
		params any
		want   string
	}{
		"by position":               {[]any{1, "a<b"}, `,"params":[1,"a<b"]`},
		"by position in an array":   {[2]int{1, 2}, `,"params":[1,2]`},
		"an empty list":             {[]int{}, `,"params":[]`},
		"by name":                   {map[string]any{"b": nil}, `,"params":{"b":null}`},
		"by name in a struct":       {named{7}, `,"params":{"a":7}`},
		"by name through a pointer": {&named{7}, `,"params":{"a":7}`},
		"as JSON":                   {json.RawMessage(`[1]`), `,"params":[1]`},
		"none":                      {nil, ``},
		"a nil slice":               {none, ``},
		"a nil map":                 {map[string]int(nil), ``},
		"a nil pointer":             {(*named)(nil), ``},
		"JSON's null":               {json.RawMessage(`null`), ``},
	} {
		_, err := rpc.Call(t.Context(), "echo", test.params)
		require.NoError(t, err, name)
		got := server.one(t)
		require.Regexp(t, `^\{"jsonrpc":"2\.0","method":"echo"`, got.Body)
		var c rpcCall
		require.NoError(t, json.Unmarshal([]byte(got.Body), &c))
		require.Equal(t, fmt.Sprintf(`{"jsonrpc":"2.0","method":"echo"%s,"id":%s}`, test.want, c.ID), got.Body, name)
		require.Equal(t, "all", got.Header.Get("X-Of"))

		require.NoError(t, rpc.Notify(t.Context(), "echo", test.params), name)
		require.Equal(t, fmt.Sprintf(`{"jsonrpc":"2.0","method":"echo"%s}`, test.want), server.one(t).Body, name)
	}
	for _, params := range []any{7, "text", true, []byte("bytes"), json.RawMessage(`7`), time.Time{}, func() {}, new(int)} {
		_, err := rpc.Call(t.Context(), "echo", params)
		require.ErrorContains(t, err, "params are a slice or an array", "%T", params)
		require.Error(t, rpc.Notify(t.Context(), "echo", params))
	}
	_, err := rpc.Call(t.Context(), "", nil)
	require.ErrorContains(t, err, "needs the name of a method")
	_, err = rpc.Call(t.Context(), "echo", json.RawMessage(`{`))
	require.ErrorContains(t, err, "encode json.RawMessage as JSON")
	_, err = rpc.Call(t.Context(), "echo", nil, api.WithGET(true))
	require.ErrorContains(t, err, "WithGET is not for this wrapper")
	_, err = api.NewJSONRPC(rpc.Client(), "", api.WithMethodSuffix("x")).Call(t.Context(), "echo", nil)
	require.ErrorContains(t, err, "WithMethodSuffix is not for this wrapper")
	require.Empty(t, server.all())
}

func TestJSONRPC_theWholeRequestInBytes(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := wiretest.Serve(t, wiretest.Answer(func(_ *wiretest.Conn, r *wiretest.Request) string {
		got <- r.Head + string(r.Content)
		return wiretest.OK(`{"jsonrpc":"2.0","result":19,"id":1}`)
	}))
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL(), parley.WithHeader("User-Agent", "test")), "rpc")
	v, err := api.Call[int](t.Context(), rpc, "subtract", []int{42, 23})
	require.NoError(t, err)
	require.Equal(t, 19, v)
	require.Equal(t, "POST /rpc HTTP/1.1\r\nHost: "+strings.TrimPrefix(server.URL(), "http://")+"\r\nAccept: application/json\r\n"+
		"Accept-Encoding: gzip, deflate, br, zstd\r\nContent-Type: application/json\r\nUser-Agent: test\r\nContent-Length: 61\r\n\r\n"+
		`{"jsonrpc":"2.0","method":"subtract","params":[42,23],"id":1}`, <-got)
}

func TestJSONRPC_results(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, serveRPC)
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL), "")
	sum, err := api.Call[int](t.Context(), rpc, "add", []int{1, 2, 4})
	require.NoError(t, err)
	require.Equal(t, 7, sum)
	v, err := rpc.Call(t.Context(), "echo", map[string]any{"a": []int{1}})
	require.NoError(t, err)
	require.Equal(t, map[string]any{"a": []any{1.0}}, v)
	v, err = rpc.Call(t.Context(), "echo", nil)
	require.NoError(t, err)
	require.Nil(t, v)

	_, err = api.Call[int](t.Context(), rpc, "fail", nil)
	var fault *api.RPCError
	require.ErrorAs(t, err, &fault)
	require.Equal(t, -32001, fault.Code)
	require.Equal(t, "no luck", fault.Message)
	require.EqualError(t, err, "JSON-RPC error -32001: no luck")
	var data struct{ Retry int }
	require.NoError(t, fault.Decode(&data))
	require.Equal(t, 3, data.Retry)
	require.ErrorIs(t, fault.Decode(new(string)), parley.ErrDecoding)
	require.ErrorIs(t, (&api.RPCError{}).Decode(&data), parley.ErrDecoding)
	require.ErrorIs(t, err, &api.RPCError{Code: -32001})
	require.NotErrorIs(t, err, &api.RPCError{Code: -32002})
	require.NotContains(t, (&api.RPCError{Message: "a\r\n\x1b" + strings.Repeat("x", 1000)}).Error(), "\n")
	require.Less(t, len((&api.RPCError{Message: strings.Repeat("\x00", 1000)}).Error()), 1200)

	_, err = api.Call[[]int](t.Context(), rpc, "add", []int{1})
	require.ErrorIs(t, err, parley.ErrDecoding)
}

func TestJSONRPC_answersAreReadStrictly(t *testing.T) {
	t.Parallel()
	status, answer := 200, ""
	server := newRPCServer(t, func(w http.ResponseWriter, r *http.Request) {
		var c rpcCall
		json.NewDecoder(r.Body).Decode(&c)
		rpcSays(status, strings.ReplaceAll(answer, "ID", string(c.ID)))(w, r)
	})
	c := newRPCClient(t, server.URL, parley.WithMaxBodyBytes(1000))
	rpc := api.NewJSONRPC(c, "")
	fault := func(code int) error { return &api.RPCError{Code: code} }
	for name, test := range map[string]struct {
		status int
		answer string
		want   any
		is     []error
	}{
		"a result":                             {200, `{"jsonrpc":"2.0","result":1,"id":ID}`, 1.0, nil},
		"a null result":                        {200, `{"jsonrpc":"2.0","result":null,"id":ID}`, nil, nil},
		"more members":                         {200, `{"id":ID,"x":1,"result":1,"jsonrpc":"2.0"}`, 1.0, nil},
		"the id as a decimal fraction":         {200, `{"jsonrpc":"2.0","result":1,"id":ID.0}`, 1.0, nil},
		"the id as text":                       {200, `{"jsonrpc":"2.0","result":1,"id":"ID"}`, nil, []error{api.ErrUnknownID, api.ErrInvalidAnswer, parley.ErrDecoding}},
		"another id":                           {200, `{"jsonrpc":"2.0","result":1,"id":ID0}`, nil, []error{api.ErrUnknownID}},
		"a negative id":                        {200, `{"jsonrpc":"2.0","result":1,"id":-ID}`, nil, []error{api.ErrUnknownID}},
		"a fraction for an id":                 {200, `{"jsonrpc":"2.0","result":1,"id":ID.5}`, nil, []error{api.ErrUnknownID}},
		"a huge id":                            {200, `{"jsonrpc":"2.0","result":1,"id":1e300}`, nil, []error{api.ErrUnknownID}},
		"an object for an id":                  {200, `{"jsonrpc":"2.0","result":1,"id":{}}`, nil, []error{api.ErrInvalidAnswer}},
		"true for an id":                       {200, `{"jsonrpc":"2.0","result":1,"id":true}`, nil, []error{api.ErrInvalidAnswer}},
		"a result without an id":               {200, `{"jsonrpc":"2.0","result":1}`, nil, []error{api.ErrUnknownID}},
		"a result with a null id":              {200, `{"jsonrpc":"2.0","result":1,"id":null}`, nil, []error{api.ErrUnknownID}},
		"no version":                           {200, `{"result":1,"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"another version":                      {200, `{"jsonrpc":"1.0","result":1,"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"a number for a version":               {200, `{"jsonrpc":2.0,"result":1,"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"members in upper case":                {200, `{"jsonrpc":"2.0","RESULT":1,"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"neither result nor error":             {200, `{"jsonrpc":"2.0","id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"both":                                 {200, `{"jsonrpc":"2.0","result":1,"error":{"code":1,"message":""},"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"a null error beside a result":         {200, `{"jsonrpc":"2.0","result":1,"error":null,"id":ID}`, 1.0, nil},
		"a null error beside a null result":    {200, `{"jsonrpc":"2.0","result":null,"error":null,"id":ID}`, nil, nil},
		"a null result beside an error":        {200, `{"jsonrpc":"2.0","result":null,"error":{"code":-5,"message":"x"},"id":ID}`, nil, []error{fault(-5)}},
		"an error":                             {200, `{"jsonrpc":"2.0","error":{"code":-5,"message":"x"},"id":ID}`, nil, []error{fault(-5)}},
		"an error with a null id":              {200, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"},"id":null}`, nil, []error{fault(api.CodeParseError)}},
		"an error without an id":               {200, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"}}`, nil, []error{fault(api.CodeInvalidRequest)}},
		"an error with another id":             {200, `{"jsonrpc":"2.0","error":{"code":1,"message":"x"},"id":ID1}`, nil, []error{api.ErrUnknownID}},
		"an error that is text":                {200, `{"jsonrpc":"2.0","error":"bad","id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"a null error":                         {200, `{"jsonrpc":"2.0","error":null,"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"an error without a code":              {200, `{"jsonrpc":"2.0","error":{"message":"x"},"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"an error with a fraction for a code":  {200, `{"jsonrpc":"2.0","error":{"code":1.5,"message":"x"},"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"an error with a huge code":            {200, `{"jsonrpc":"2.0","error":{"code":1e99,"message":"x"},"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"an error without a message":           {200, `{"jsonrpc":"2.0","error":{"code":1,"message":null},"id":ID}`, nil, []error{api.ErrInvalidAnswer}},
		"a batch":                              {200, `[{"jsonrpc":"2.0","result":1,"id":ID}]`, nil, []error{api.ErrInvalidAnswer}},
		"null":                                 {200, `null`, nil, []error{api.ErrInvalidAnswer}},
		"no JSON":                              {200, `oops`, nil, []error{parley.ErrDecoding}},
		"cut short":                            {200, `{"jsonrpc":"2.0","result":1`, nil, []error{parley.ErrDecoding}},
		"two answers":                          {200, `{"jsonrpc":"2.0","result":1,"id":ID}{}`, nil, []error{parley.ErrDecoding}},
		"nothing":                              {200, ``, nil, []error{api.ErrMissingAnswer, api.ErrInvalidAnswer, parley.ErrDecoding}},
		"blanks":                               {202, " \n", nil, []error{api.ErrMissingAnswer}},
		"huge":                                 {200, `{"jsonrpc":"2.0","result":"` + strings.Repeat("x", 1000) + `","id":ID}`, nil, []error{parley.ErrBodyTooLarge}},
		"a status and an error are both given": {500, `{"jsonrpc":"2.0","error":{"code":-32603,"message":"x"},"id":ID}`, nil, []error{fault(api.CodeInternalError)}},
		"a status and an error with a null id, too": {400, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"},"id":null}`, nil, []error{fault(api.CodeParseError)}},
		"a status and no JSON-RPC":                  {502, `<html>`, nil, nil},
		"a status and nothing":                      {502, ``, nil, nil},
		"a status and an error for another":         {502, `{"jsonrpc":"2.0","error":{"code":1,"message":"x"},"id":ID1}`, nil, nil},
		"a status and a result":                     {500, `{"jsonrpc":"2.0","result":1,"id":ID}`, nil, nil},
	} {
		status, answer = test.status, test.answer
		got, err := rpc.Call(t.Context(), "m", nil)
		require.Equal(t, test.want, got, name)
		for _, is := range test.is {
			require.ErrorIs(t, err, is, name)
		}
		var failed *parley.StatusError
		switch {
		case test.status >= 400:
			require.ErrorAs(t, err, &failed, name)
			require.Equal(t, test.status, failed.StatusCode)
			if test.is == nil {
				require.NotErrorAs(t, err, new(*api.RPCError), name)
			}
		case test.is == nil:
			require.NoError(t, err, name)
		default:
			require.NotErrorAs(t, err, &failed, name)
		}
	}
	require.NotEmpty(t, server.all())
}

func TestJSONRPC_notificationsHaveNoAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status int
		body   string
		is     error
	}{
		"204":                      {204, ``, nil},
		"202":                      {202, ``, nil},
		"an empty 200":             {200, ``, nil},
		"text is of no account":    {200, `ok`, nil},
		"nor is a result":          {200, `{"jsonrpc":"2.0","result":null,"id":null}`, nil},
		"an error is one":          {200, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"x"},"id":null}`, &api.RPCError{Code: -32700}},
		"a status is an error":     {503, `busy`, nil},
		"a status and an error":    {400, `{"jsonrpc":"2.0","error":{"code":-32600,"message":"x"},"id":null}`, &api.RPCError{Code: -32600}},
		"a broken error is no one": {200, `{"jsonrpc":"2.0","error":{"code":"x"},"id":null}`, nil},
	} {
		rpc := api.NewJSONRPC(newRPCClient(t, newRPCServer(t, rpcSays(test.status, test.body)).URL), "")
		batch := rpc.NewBatch()
		batch.Notify("a", nil)
		batch.Notify("b", nil)
		for what, err := range map[string]error{"Notify": rpc.Notify(t.Context(), "a", nil), "Batch": batch.Send(t.Context())} {
			if test.is == nil && test.status < 400 {
				require.NoError(t, err, "%s: %s", what, name)
			}
			if test.is != nil {
				require.ErrorIs(t, err, test.is, "%s: %s", what, name)
			}
			if test.status >= 400 {
				require.ErrorAs(t, err, new(*parley.StatusError), "%s: %s", what, name)
			}
		}
	}
}

func TestJSONRPC_idsAreUsedOnce(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, serveRPC)
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL), "")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for n := range 4 {
				sum, err := api.Call[int](t.Context(), rpc, "add", []int{i, n})
				if err != nil || sum != i+n {
					t.Errorf("%d + %d = %d, %v", i, n, sum, err)
				}
				batch := rpc.NewBatch()
				one, two := api.BatchCall[int](batch, "add", []int{i, 1}), api.BatchCall[int](batch, "add", []int{n, 2})
				if err := batch.Send(t.Context()); err != nil {
					t.Error(err)
				}
				a, err1 := one.Result()
				b, err2 := two.Result()
				if err1 != nil || err2 != nil || a != i+1 || b != n+2 {
					t.Errorf("%d, %v; %d, %v", a, err1, b, err2)
				}
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, got := range server.all() {
		var calls []rpcCall
		if got.Body[0] != '[' {
			got.Body = "[" + got.Body + "]"
		}
		require.NoError(t, json.Unmarshal([]byte(got.Body), &calls))
		for _, c := range calls {
			require.False(t, seen[string(c.ID)], "%s", c.ID)
			seen[string(c.ID)] = true
		}
	}
	require.Len(t, seen, 8*4*3)
}

func TestJSONRPC_aBrokenConnectionIsTold(t *testing.T) {
	t.Parallel()
	server := newRPCServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, `{"jsonrpc":"2.0",`)
	})
	rpc := api.NewJSONRPC(newRPCClient(t, server.URL), "")
	_, err := rpc.Call(t.Context(), "a", nil)
	require.ErrorIs(t, err, parley.ErrNetwork)
	batch := rpc.NewBatch()
	one := api.BatchCall[int](batch, "a", nil)
	require.ErrorIs(t, batch.Send(t.Context()), parley.ErrNetwork)
	_, err = one.Result()
	require.ErrorIs(t, err, parley.ErrNetwork)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, rpc.Notify(ctx, "a", nil), context.Canceled)
}
