package api_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

func ExampleJSONRPC() {
	server := httptest.NewServer(http.HandlerFunc(serveRPC))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	rpc := api.NewJSONRPC(client, "rpc")
	sum, err := api.Call[int](ctx, rpc, "add", []int{1, 2, 4})
	fmt.Println(sum, err)
	fmt.Println(rpc.Notify(ctx, "log", map[string]any{"text": "summed up"}))

	_, err = rpc.Call(ctx, "fail", nil)
	var failure *api.RPCError
	if errors.As(err, &failure) {
		fmt.Println(failure.Code, failure.Message, string(failure.Data))
	}

	batch := rpc.NewBatch()
	three := api.BatchCall[int](batch, "add", []int{1, 2})
	echo := api.BatchCall[[]string](batch, "echo", []string{"tea"})
	if err := batch.Send(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(three.Result())
	fmt.Println(echo.Result())
	// Output:
	// 7 <nil>
	// <nil>
	// -32001 no luck {"retry":3}
	// 3 <nil>
	// [tea] <nil>
}
