package parley_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/seed-0474a412/parley"
)

// Proxies by scheme and host; the environment says the rest.
func ExampleWithProxyFor() {
	client, err := parley.New(
		parley.WithProxyFor("https://", "http://user:password@proxy.example.com:3128"),
		parley.WithProxyFor("all://*.corp.example:*", "socks5h://jump.example.com"),
		parley.WithoutProxyFor("all://localhost:*"),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, u := range []string{"https://example.com", "http://wiki.corp.example", "https://localhost:8443"} {
		req, err := client.NewRequest("GET", u)
		if err != nil {
			log.Fatal(err)
		}
		proxy, err := req.Proxy.For(req)
		fmt.Println(u, "by", proxy, err)
	}
	// Output:
	// https://example.com by http://proxy.example.com:3128 <nil>
	// http://wiki.corp.example by socks5h://jump.example.com:1080 <nil>
	// https://localhost:8443 by <nil> <nil>
}

// One session whose URLs lead to different places: a handler in the same process, the
// transport that a program has already, and the network for all others.
func ExampleWithMount() {
	fake := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fake ", r.URL.Path) })
	old := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "old ", r.URL.Path) }))
	defer old.Close()
	client, err := parley.New(
		parley.WithMount("https://billing.example.com/v2", parley.HandlerTransport(fake)),
		parley.WithMount(old.URL, parley.FromRoundTripper(old.Client().Transport)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, u := range []string{"https://billing.example.com/v2/bills", old.URL + "/x"} {
		fmt.Println(parley.As[string](client.Get(context.Background(), u)))
	}
	// Output:
	// fake /v2/bills <nil>
	// old /x <nil>
}

// Another protocol takes the connection over: here with a handler in the same process, as
// with any server.
func ExampleResponse_Conn() {
	shout := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "shout")
		w.WriteHeader(http.StatusSwitchingProtocols)
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			log.Print(err)
			return
		}
		defer conn.Close()
		line, _ := rw.ReadString('\n')
		io.WriteString(conn, strings.ToUpper(line))
	})
	client, err := parley.New(parley.WithHandler(shout))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	resp, err := client.Get(context.Background(), "http://example.com",
		parley.WithHeader("Connection", "Upgrade"), parley.WithHeader("Upgrade", "shout"))
	if err != nil {
		log.Fatal(err)
	}
	conn, err := resp.Conn()
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintln(conn, "hello")
	line, err := bufio.NewReader(conn).ReadString('\n')
	fmt.Print(line, err)
	// Output:
	// HELLO
	// <nil>
}

// HTTP/2 is spoken with https servers that know it, unless a session says otherwise.
func ExampleWithHTTP2() {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	for _, mode := range []parley.HTTP2Mode{parley.HTTP2Auto, parley.HTTP2Off} {
		client, err := parley.New(parley.WithHTTP2(mode), parley.WithVerify(false))
		if err != nil {
			log.Fatal(err)
		}
		resp, err := client.Get(context.Background(), server.URL)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(mode, resp.Proto)
		client.Close()
	}
	// Output:
	// auto HTTP/2.0
	// off HTTP/1.1
}

// What speaks net/http carries out what a session asks for.
func ExampleFromRoundTripper() {
	tracing := roundTripper(func(req *http.Request) (*http.Response, error) { // somebody else's
		fmt.Println("tracing", req.Method, req.URL)
		return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody, Header: http.Header{}}, nil
	})
	client, err := parley.New(parley.WithTransport(parley.FromRoundTripper(tracing)))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.Delete(context.Background(), "https://example.com/x"))
	// Output:
	// tracing DELETE https://example.com/x
	// <Response 204 No Content to DELETE https://example.com/x> <nil>
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
