package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// starWars answers every query in the same way.
func starWars(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	switch {
	case strings.Contains(string(body), "subscription"):
		w.Header().Set("Content-Type", "text/event-stream")
		for _, stars := range []int{5, 4} {
			fmt.Fprintf(w, "event: next\ndata: {\"data\":{\"review\":{\"stars\":%d}}}\n\n", stars)
		}
		io.WriteString(w, "event: complete\ndata:\n\n")
	default:
		w.Header().Set("Content-Type", "application/graphql-response+json")
		io.WriteString(w, `{"data":{"hero":{"name":"R2-D2","height":null}},
			"errors":[{"message":"not measured","path":["hero","height"],"extensions":{"code":"NO_DATA"}}]}`)
	}
}

func ExampleGraph() {
	server := httptest.NewServer(http.HandlerFunc(starWars))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()

	graph := api.NewGraph(client, "graphql")
	type answer struct {
		Hero struct {
			Name   string
			Height *float64
		}
	}
	got, err := api.Execute[answer](ctx, graph, `query ($id: ID!) { hero(id: $id) { name height } }`, map[string]any{"id": 2001})
	fmt.Println(got.Hero.Name, err)
	var failure *api.GraphError
	if errors.As(err, &failure) {
		fmt.Println(failure.Path, failure.Code())
	}

	type review struct{ Review struct{ Stars int } }
	for r, err := range api.Subscribe[review](ctx, graph, `subscription { review { stars } }`, nil) {
		fmt.Println(r.Review.Stars, err)
	}
	// Output:
	// R2-D2 GraphQL: not measured (at hero.height) [NO_DATA]
	// hero.height NO_DATA
	// 5 <nil>
	// 4 <nil>
}

func ExampleNewUpload() {
	server := httptest.NewServer(http.HandlerFunc(serveUploads))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	photo := api.NewUpload(parley.FormBytes("", "photo.txt", []byte("a picture of words")))
	got, err := api.Execute[map[string]any](context.Background(), api.NewGraph(client, "graphql"),
		`mutation ($album: Album!) { add(album: $album) { id } }`,
		map[string]any{"album": map[string]any{"title": "Words", "photos": []any{photo}}})
	fmt.Println(got, err)
	// Output: map[album:map[photos:[photo.txt text/plain 18] title:Words]] <nil>
}
