// Command first is the first program of the README.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/seed-0474a412/parley"
)

func main() {
	client, err := parley.New(parley.WithBaseURL(os.Args[1]), parley.WithHeader("X-Program", "first"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	answer, err := parley.As[map[string]any](client.Get(context.Background(), "get", parley.WithQuery("q", "tea")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer["args"], client)
}
