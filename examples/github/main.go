// Command github wraps a small API in three ways: with a session alone, with resources,
// and with a declaration that package api binds. The server is in the same process.
//
//	go run ./examples/github
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

func main() {
	server := serve()
	defer server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := run(ctx, os.Stdout, server.URL); err != nil {
		log.Fatal(err)
	}
}

// run does the same in each of the three ways, over one session.
func run(ctx context.Context, out io.Writer, url string) error {
	client, err := parley.New(parley.WithBaseURL(url+"/api"), parley.WithTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer client.Close()
	declared, err := api.Bind[gitHub](client)
	if err != nil {
		return err
	}
	for _, way := range []struct {
		title string
		run   func(context.Context, io.Writer) error
	}{
		{"a session", session{client}.walk},
		{"resources", resources{api.NewResource(client)}.walk},
		{"a declaration", declaration{declared}.walk},
	} {
		fmt.Fprintln(out, way.title)
		if err := way.run(ctx, out); err != nil {
			return fmt.Errorf("%s: %w", way.title, err)
		}
	}
	return nil
}

// session wraps the API with nothing but the session: each call says all.
type session struct{ client *parley.Client }

func (s session) walk(ctx context.Context, out io.Writer) error {
	for page, err := range s.client.Pages(ctx, "users/{user}/repos", parley.WithPath("user", "ada"), parley.WithQuery("per_page", "2")) {
		repos, err := parley.As[[]Repo](page, err)
		if err != nil {
			return err
		}
		for _, r := range repos {
			fmt.Fprintf(out, "  %s has %d stars\n", r.Name, r.Stars)
		}
	}
	_, err := parley.As[Repo](s.client.Get(ctx, "repos/ada/letters"))
	var problem *parley.Problem
	if !errors.As(err, &problem) {
		return err
	}
	fmt.Fprintf(out, "  %d: %s\n", problem.Status, problem.Detail)
	made, err := parley.As[Repo](s.client.Post(ctx, "users/ada/repos", parley.WithJSON(Repo{Name: "letters"})))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  made %s\n", made.Name)
	return nil
}

// resources wraps the API with URLs as values.
type resources struct{ root *api.Resource }

func (r resources) walk(ctx context.Context, out io.Writer) error {
	repos := r.root.At("users", "ada", "repos")
	for repo, err := range api.Items[Repo](ctx, repos, parley.WithQuery("per_page", "2"), api.WithPager(api.LinkPages())) {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %s has %d stars\n", repo.Name, repo.Stars)
	}
	diary, err := repos.Create(ctx, Repo{Name: "diary"})
	if err != nil {
		return err
	}
	// Read, change, write back, under the condition that nobody was faster.
	changed, err := api.Edit(ctx, diary, func(repo *Repo) error { repo.Private = true; return nil })
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  made %s, private: %t\n", changed.Name, changed.Private)
	there, err := r.root.At("repos", "ada", "nothing").Exists(ctx)
	fmt.Fprintf(out, "  nothing is there: %t\n", there)
	return err
}

// gitHub declares the API. In the tests of a program that uses it, its fields are set to
// functions of the test's own.
type gitHub struct {
	Repos  func(ctx context.Context, user string, o listOptions) ([]Repo, error)    `http:"GET users/{user}/repos"`
	Repo   func(ctx context.Context, user, name string) (Repo, api.Meta, error)     `http:"GET repos/{user}/{name}"`
	Create func(ctx context.Context, user string, r Repo) (Repo, error)             `http:"POST users/{user}/repos"`
	Put    func(ctx context.Context, user, name, etag string, r Repo) (Repo, error) `http:"PUT repos/{user}/{name}" args:"user, name, header:If-Match, body"`
}

type listOptions struct {
	PerPage int `url:"per_page,omitempty"`
	Page    int `url:"page,omitempty"`
}

// declaration is a program over the declared API.
type declaration struct{ api *gitHub }

func (d declaration) walk(ctx context.Context, out io.Writer) error {
	repos, err := d.api.Repos(ctx, "ada", listOptions{PerPage: 2, Page: 2})
	if err != nil {
		return err
	}
	for _, repo := range repos {
		fmt.Fprintf(out, "  %s has %d stars\n", repo.Name, repo.Stars)
	}
	repo, meta, err := d.api.Repo(ctx, "ada", "engine")
	if err != nil {
		return err
	}
	etag := meta.Header.Get("ETag")
	repo.Stars++
	if repo, err = d.api.Put(ctx, "ada", "engine", etag, repo); err != nil {
		return err
	}
	fmt.Fprintf(out, "  %s has %d stars now\n", repo.Name, repo.Stars)
	_, err = d.api.Put(ctx, "ada", "engine", etag, repo)
	var refused *parley.StatusError
	if !errors.As(err, &refused) {
		return fmt.Errorf("an old tag was taken: %w", err)
	}
	fmt.Fprintf(out, "  once more with the old tag: %s\n", refused.Problem.Detail)
	return nil
}
