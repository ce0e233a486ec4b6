package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// shelf is the small API of the examples.
func shelf() http.Handler {
	var mu sync.Mutex
	book, revision, polls := `{"title":"Emma","copies":2}`, 1, 0
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, text string) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	}
	mux.HandleFunc("GET /v1/books", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("page") == "2" {
			answer(w, `[{"title":"Ivanhoe"}]`)
			return
		}
		w.Header().Set("Link", `<?page=2>; rel="next"`)
		answer(w, `[{"title":"Emma"},{"title":"Faust"}]`)
	})
	mux.HandleFunc("POST /v1/books", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/books/1")
		w.WriteHeader(http.StatusCreated)
	})
	mux.HandleFunc("GET /v1/books/1", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		w.Header().Set("ETag", fmt.Sprintf(`"%d"`, revision))
		answer(w, book)
	})
	mux.HandleFunc("PUT /v1/books/1", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("If-Match") != fmt.Sprintf(`"%d"`, revision) {
			w.WriteHeader(http.StatusPreconditionFailed)
			return
		}
		book = string(body)
		revision++
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST /v1/exports", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/v1/exports/7")
		w.WriteHeader(http.StatusAccepted)
	})
	mux.HandleFunc("GET /v1/exports/7", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if polls++; polls < 3 {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		answer(w, `{"file":"books.csv"}`)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		answer(w, `{"access_token":"abc","token_type":"bearer","expires_in":3600}`)
	})
	mux.HandleFunc("GET /v1/me", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "you came with "+r.Header.Get("Authorization"))
	})
	return mux
}

// One session for an API, made when it is first wanted, and shared by all parts of a
// program.
var books = sync.OnceValues(func() (*api.Resource, error) {
	client, err := parley.New(parley.WithBaseURL("https://books.example.com/v1"), parley.WithHandler(shelf()))
	if err != nil {
		return nil, err
	}
	return api.NewResource(client), nil
})

func ExampleNewResource() {
	for range 2 {
		r, err := books() // the same each time
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.At("books", "1"))
	}
	// Output:
	// <Resource https://books.example.com/v1/books/1>
	// <Resource https://books.example.com/v1/books/1>
}

// Book is what the API has.
type Book struct {
	Title  string `json:"title"`
	Copies int    `json:"copies,omitempty"`
}

func ExampleGet() {
	r, err := books()
	if err != nil {
		fmt.Println(err)
		return
	}
	book, err := api.Get[Book](context.Background(), r.At("books", "1"))
	fmt.Println(book.Title, err)
	_, err = r.At("films").Get(context.Background())
	var refused *parley.StatusError
	if errors.As(err, &refused) {
		fmt.Println(refused.StatusCode)
	}
	// Output:
	// Emma <nil>
	// 404
}

func ExampleItems() {
	r, err := books()
	if err != nil {
		fmt.Println(err)
		return
	}
	for book, err := range api.Items[Book](context.Background(), r.At("books"), api.WithPager(api.LinkPages())) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(book.Title)
	}
	// Output:
	// Emma
	// Faust
	// Ivanhoe
}

func ExamplePager() {
	// The API says whether there are more, and wants to know the last one.
	byLastID := func(p *api.Page) (*parley.Request, error) {
		var list struct {
			HasMore bool `json:"has_more"`
			Data    []struct{ ID string }
		}
		if err := p.Response.JSON(&list); err != nil || !list.HasMore || len(list.Data) == 0 {
			return nil, err
		}
		return p.With(parley.WithQuery("starting_after", list.Data[len(list.Data)-1].ID))
	}
	client, err := parley.New(parley.WithBaseURL("https://pay.example.com"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ids := map[string]string{"": "ab", "b": "c"}[r.URL.Query().Get("starting_after")]
		var data []map[string]string
		for _, id := range ids {
			data = append(data, map[string]string{"id": string(id)})
		}
		json.NewEncoder(w).Encode(map[string]any{"has_more": ids == "ab", "data": data})
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	charges := api.NewResource(client, api.WithItemsAt("data"), api.WithPager(byLastID)).At("charges")
	for charge, err := range api.Items[struct{ ID string }](context.Background(), charges) {
		fmt.Println(charge.ID, err)
	}
	// Output:
	// a <nil>
	// b <nil>
	// c <nil>
}

func ExampleEdit() {
	r, err := books()
	if err != nil {
		fmt.Println(err)
		return
	}
	book, err := api.Edit(context.Background(), r.At("books", "1"), func(b *Book) error {
		if b.Copies == 0 {
			return errors.New("none left")
		}
		b.Copies--
		return nil
	})
	fmt.Println(book, err)
	// Output: {Emma 1} <nil>
}

func ExampleResource_Create() {
	r, err := books()
	if err != nil {
		fmt.Println(err)
		return
	}
	book, err := r.At("books").Create(context.Background(), Book{Title: "Emma"})
	fmt.Println(book, err)
	// Output: <Resource https://books.example.com/v1/books/1> <nil>
}

func ExampleResource_Await() {
	r, err := books()
	if err != nil {
		fmt.Println(err)
		return
	}
	quickly := api.WithAwaitPolicy(api.AwaitPolicy{Interval: 5 * time.Millisecond, MinInterval: time.Millisecond})
	result, err := r.At("exports").Await(context.Background(), "POST", parley.WithJSON("csv"), quickly)
	fmt.Println(result, err)
	// Output: map[file:books.csv] <nil>
}

func ExampleResource_Authorize() {
	r, err := books()
	if err != nil {
		fmt.Println(err)
		return
	}
	tokens := r.Join("https://books.example.com/token")
	session, err := tokens.Authorize(context.Background(), api.Grant{ClientID: "me", ClientSecret: "s3cret"})
	if err != nil {
		fmt.Println(err)
		return
	}
	me, err := api.NewResource(session).At("me").Get(context.Background())
	fmt.Println(me, err)
	// Output: you came with Bearer abc <nil>
}
