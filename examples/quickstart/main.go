// Command quickstart walks through a session: it starts a server in the same
// process (or takes one with -url) and shows what a client does.
//
//	go run ./examples/quickstart
//	go run ./examples/quickstart -url https://httpbin.example.com
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log"
	"net/http/httptest"
	"os"
	"time"

	"github.com/mccutchen/go-httpbin/v2/httpbin"

	"github.com/seed-0474a412/parley"
)

func main() {
	url := flag.String("url", "", "base URL of an httpbin; without it one is started in this process")
	flag.Parse()
	if *url == "" {
		server := httptest.NewServer(httpbin.New())
		defer server.Close()
		*url = server.URL
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := walk(ctx, os.Stdout, *url); err != nil {
		log.Fatal(err)
	}
}

// walk is the tour. Each step is a few lines that could stand in any program.
func walk(ctx context.Context, out io.Writer, url string) error {
	client, err := parley.New(
		parley.WithBaseURL(url),
		parley.WithHeader("X-Tour", "quickstart"),
		parley.WithPhaseTimeout(10*time.Second),
		parley.WithPoolLimits(parley.PoolLimits{Soft: 2, Hard: 4}),
	)
	if err != nil {
		return err
	}
	defer client.Close()

	for _, step := range []struct {
		title string
		run   func(context.Context, io.Writer, *parley.Client) error
	}{
		{"base URL, default header, query", query},
		{"JSON out and in", exchangeJSON},
		{"redirects, cookies and a login", login},
		{"a stream, line by line", stream},
		{"an error, matched by kind", timeout},
		{"twelve requests over four connections", concurrent},
	} {
		fmt.Fprintf(out, "\n%s\n", step.title)
		if err := step.run(ctx, out, client); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// echo is what httpbin says about a request.
type echo struct {
	Args    map[string][]string `json:"args"`
	Headers map[string][]string `json:"headers"`
	JSON    greeting            `json:"json"`
}

type greeting struct {
	Hello string `json:"hello"`
	Times int    `json:"times"`
}

func query(ctx context.Context, out io.Writer, client *parley.Client) error {
	got, err := parley.As[echo](client.Get(ctx, "get", parley.WithQuery("q", "tea & cake")))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  the server saw q=%q, X-Tour: %s, User-Agent: %s\n",
		got.Args["q"][0], got.Headers["X-Tour"][0], got.Headers["User-Agent"][0])
	return nil
}

func exchangeJSON(ctx context.Context, out io.Writer, client *parley.Client) error {
	got, err := parley.As[echo](client.Post(ctx, "post", parley.WithJSON(greeting{"world", 3})))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  sent and got back %+v\n", got.JSON)
	return nil
}

func login(ctx context.Context, out io.Writer, client *parley.Client) error {
	// The server sets a cookie and redirects to a page that shows it.
	resp, err := client.Get(ctx, "cookies/set", parley.WithQuery("theme", "dark"))
	if err != nil {
		return err
	}
	for _, hop := range resp.History {
		fmt.Fprintf(out, "  %s led from %s to %s\n", hop.Status, hop.Request.URL.Path, resp.Request.URL.Path)
	}
	if jar, ok := client.Jar().(*parley.Jar); ok {
		for cookie := range jar.All() {
			fmt.Fprintf(out, "  the jar has %s=%s\n", cookie.Name, cookie.Value)
		}
	}
	auth, err := parley.DigestAuth("alice", "wonder")
	if err != nil {
		return err
	}
	resp, err = client.Get(ctx, "digest-auth/auth/alice/wonder", parley.WithAuth(auth))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "  Digest login: %s after %d attempts\n", resp.Status, resp.Timing().Attempt)
	return nil
}

func stream(ctx context.Context, out io.Writer, client *parley.Client) error {
	resp, err := client.Stream(ctx, "GET", "stream/{n}", parley.WithPath("n", "3"))
	if err != nil {
		return err
	}
	defer resp.Close()
	for line, err := range resp.Lines() {
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "  %.17s...\n", line)
	}
	return nil
}

func timeout(ctx context.Context, out io.Writer, client *parley.Client) error {
	_, err := client.Get(ctx, "delay/5", parley.WithTimeouts(parley.Timeouts{Response: 100 * time.Millisecond}))
	var failure *parley.Error
	if !errors.Is(err, parley.ErrResponseTimeout) || !errors.As(err, &failure) {
		return fmt.Errorf("expected a response timeout, got %w", err)
	}
	fmt.Fprintf(out, "  response timeout in phase %q after %v; the server may have seen the request: %v\n",
		failure.Phase, failure.Limit, failure.Sent != parley.NotSent)

	resp, err := client.Get(ctx, "status/418")
	if err != nil {
		return err
	}
	var status *parley.StatusError
	if errors.As(resp.Err(), &status) {
		fmt.Fprintf(out, "  and a status that is an error when asked: %s\n", status.Status)
	}
	return nil
}

func concurrent(ctx context.Context, out io.Writer, client *parley.Client) error {
	var requests iter.Seq[*parley.Request] = func(yield func(*parley.Request) bool) {
		for range 12 {
			req, err := client.NewRequest("GET", "delay/0.02")
			if err != nil || !yield(req) {
				return
			}
		}
	}
	ok := 0
	for result := range client.Gather(ctx, 12, requests) {
		if result.Err != nil {
			return result.Err
		}
		if result.Response.OK() {
			ok++
		}
	}
	stats := client.Stats()
	fmt.Fprintf(out, "  %d answers, %d requests waited for a connection, %d were reused\n", ok, stats.Waits, stats.Reuses)
	fmt.Fprintf(out, "  %v\n", client)
	return nil
}
