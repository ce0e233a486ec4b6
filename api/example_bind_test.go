package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// bindForge is a small API, served in the process.
func bindForge() http.Handler {
	mux := http.NewServeMux()
	say := func(w http.ResponseWriter, status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if err := json.NewEncoder(w).Encode(v); err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	mux.HandleFunc("GET /users/{user}/repos", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("user") != "ada" {
			say(w, http.StatusNotFound, map[string]string{"message": "no such user"})
			return
		}
		say(w, http.StatusOK, []map[string]any{{"name": "engine", "sorted": r.FormValue("sort")}, {"name": "notes"}})
	})
	mux.HandleFunc("POST /user/repos", func(w http.ResponseWriter, r *http.Request) {
		var repo map[string]any
		if json.NewDecoder(r.Body).Decode(&repo) != nil {
			say(w, http.StatusBadRequest, nil)
			return
		}
		w.Header().Set("Location", fmt.Sprint("/repos/ada/", repo["name"]))
		say(w, http.StatusCreated, repo)
	})
	mux.HandleFunc("PATCH /repos/{owner}/{repo}", func(w http.ResponseWriter, r *http.Request) {
		change, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("If-Match") == "" {
			say(w, http.StatusPreconditionRequired, nil)
			return
		}
		say(w, http.StatusOK, json.RawMessage(change))
	})
	return mux
}

func ExampleBind() {
	type Repo struct {
		Name    string `json:"name"`
		Private bool   `json:"private"`
	}
	type ListOptions struct {
		Sort string `url:"sort,omitempty"`
		Page int    `url:"page,omitempty"`
	}
	type Forge struct {
		_ struct{} `header:"Accept: application/json" timeout:"10s"`

		List   func(ctx context.Context, user string, o ListOptions) ([]Repo, error)   `http:"GET users/{user}/repos"`
		Create func(ctx context.Context, r Repo) (Repo, api.Meta, error)               `http:"POST user/repos"`
		Rename func(ctx context.Context, owner, repo, etag, name string) (Repo, error) `http:"PATCH repos/{owner}/{repo}" args:"owner, repo, header:If-Match, field:name"`
		Each   func(ctx context.Context, user string) iter.Seq2[Repo, error]           `http:"GET users/{user}/repos"`
	}

	client, err := parley.New(parley.WithBaseURL("https://forge.example"), parley.WithHandler(bindForge()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	forge, err := api.Bind[Forge](client)
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	repos, err := forge.List(ctx, "ada", ListOptions{Sort: "name"})
	fmt.Println(repos, err)
	repo, meta, err := forge.Create(ctx, Repo{Name: "tea", Private: true})
	fmt.Println(repo, meta.StatusCode, meta.Header.Get("Location"), err)
	repo, err = forge.Rename(ctx, "ada", "tea", `"v1"`, "coffee")
	fmt.Println(repo, err)
	for repo, err := range forge.Each(ctx, "ada") {
		fmt.Println(repo, err)
	}
	_, err = forge.List(ctx, "nobody", ListOptions{})
	fmt.Println(err)
	_, err = forge.List(ctx, "..", ListOptions{})
	fmt.Println(errors.Is(err, parley.ErrInvalidURL))
	// Output:
	// [{engine false} {notes false}] <nil>
	// {tea true} 201 /repos/ada/tea <nil>
	// {coffee false} <nil>
	// {engine false} <nil>
	// {notes false} <nil>
	// GET https://forge.example/users/nobody/repos: status 404 Not Found
	// true
}

// Every mistake of a declaration is told, and what to do about it.
func ExampleBind_mistakes() {
	type Forge struct {
		List   func(ctx context.Context, user string) ([]string, error) `http:"GET users/{login}/{kind}"`
		Create func(ctx context.Context, name string) string            `http:"POST repos" args:"fild:name"`
	}
	client, err := parley.New(parley.WithBaseURL("https://forge.example"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = api.Bind[Forge](client)
	fmt.Println(err)
	// Output:
	// bind Forge.List: the template has the variable {kind}, for which there is no argument
	// bind Forge.Create: "fild:name" is no variable of the template "repos", and no role: path, query, header, cookie, body, form, part, field, url, timeout, auth or option
	// bind Forge.Create: has no error as its last result: every call can fail
}

// The functions are fields, so that a test of a program that uses them gives its own.
func ExampleBind_mock() {
	type Forge struct {
		Stars func(ctx context.Context, owner, repo string) (int, error) `http:"GET repos/{owner}/{repo}/stars"`
	}
	report := func(ctx context.Context, forge *Forge) string { // what is tested
		n, err := forge.Stars(ctx, "ada", "engine")
		if err != nil {
			return "nobody knows"
		}
		return fmt.Sprintf("%d stars", n)
	}

	fmt.Println(report(context.Background(), &Forge{
		Stars: func(context.Context, string, string) (int, error) { return 7, nil },
	}))
	fmt.Println(report(context.Background(), &Forge{
		Stars: func(context.Context, string, string) (int, error) { return 0, parley.ErrTimeout },
	}))
	// Output:
	// 7 stars
	// nobody knows
}

// bindNamer is an interface that a program has of its own.
type bindNamer interface {
	Names(ctx context.Context, user string) ([]string, error)
}

// bindCalls is what the API offers, and bindForgeNamer the interface over it.
type bindCalls struct {
	List func(ctx context.Context, user string) ([]struct{ Name string }, error) `http:"GET users/{user}/repos"`
}

type bindForgeNamer struct{ calls *bindCalls }

func (n bindForgeNamer) Names(ctx context.Context, user string) ([]string, error) {
	repos, err := n.calls.List(ctx, user)
	var names []string
	for _, repo := range repos {
		names = append(names, repo.Name)
	}
	return names, err
}

// An interface of the program's own is implemented over a declaration: its methods call
// the functions, and may do more than that.
func ExampleBind_interface() {
	client, err := parley.New(parley.WithBaseURL("https://forge.example"), parley.WithHandler(bindForge()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	calls, err := api.Bind[bindCalls](client)
	if err != nil {
		fmt.Println(err)
		return
	}
	var namer bindNamer = bindForgeNamer{calls}
	fmt.Println(namer.Names(context.Background(), "ada"))
	// Output: [engine notes] <nil>
}

// What one function needs, and no other.
func ExampleBindMethod() {
	type Forge struct {
		Repos struct {
			Create func(ctx context.Context, name string) error `http:"POST user/repos" args:"field:name"`
		}
		List func(ctx context.Context, user string) error `http:"GET users/{user}/repos"`
	}
	logged := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			resp, err := next.Send(ctx, req)
			if err == nil {
				fmt.Println(req.Method, req.Route(), resp.StatusCode)
			}
			return resp, err
		})
	}
	client, err := parley.New(parley.WithBaseURL("https://forge.example"), parley.WithHandler(bindForge()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	forge, err := api.Bind[Forge](client, api.BindMethod("Repos.Create", parley.WithRequestMiddleware(logged)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(forge.Repos.Create(context.Background(), "tea"))
	fmt.Println(forge.List(context.Background(), "ada"))
	// Output:
	// POST /user/repos 201
	// <nil>
	// <nil>
}

// Another format for bodies, and for answers.
func ExampleBindEncoder() {
	type Points map[string]int
	encode := func(v any) ([]byte, error) { // as a YAML library has it
		var b strings.Builder
		for name, n := range v.(Points) {
			fmt.Fprintf(&b, "%s: %d\n", name, n)
		}
		return []byte(b.String()), nil
	}
	decode := func(r io.Reader, v any) error {
		var name string
		var n int
		if _, err := fmt.Fscanf(r, "%s %d", &name, &n); err != nil {
			return err
		}
		*v.(*Points) = Points{strings.TrimSuffix(name, ":"): n}
		return nil
	}
	type Game struct {
		Score func(ctx context.Context, p Points) (Points, error) `http:"PUT score" args:"body:application/yaml"`
	}
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if _, err := io.Copy(w, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
	})
	client, err := parley.New(parley.WithBaseURL("https://game.example"), parley.WithHandler(echo), parley.WithDecoder("application/yaml", decode))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	game, err := api.Bind[Game](client, api.BindEncoder("application/yaml", encode))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(game.Score(context.Background(), Points{"ada": 3}))
	// Output: map[ada:3] <nil>
}
