package parley_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// A service that fetches what its users name does not let them reach into its own network.
func ExampleWithDialGuard() {
	inside := httptest.NewServer(http.NotFoundHandler())
	defer inside.Close()
	client, err := parley.New(parley.WithDialGuard(parley.PublicAddressesOnly()), parley.WithEnv(false))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.Get(context.Background(), inside.URL)
	fmt.Println(errors.Is(err, parley.ErrAddressRefused))
	// Output: true
}

func ExampleWithUnixSocket() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "app.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		fmt.Println(err)
		return
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, r.Host, r.URL.Path)
	}))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	defer server.Close()

	client, err := parley.New(parley.WithUnixSocket(path), parley.WithBaseURL("http://app/v1"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Print(parley.As[string](client.Get(context.Background(), "status")))
	// Output: app /v1/status
	// <nil>
}

func ExampleWithResolve() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host) }))
	defer server.Close()
	client, err := parley.New(parley.WithResolve("www.example.com:80", strings.TrimPrefix(server.URL, "http://")))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	fmt.Println(parley.As[string](client.Get(context.Background(), "http://www.example.com/")))
	// Output: www.example.com <nil>
}

func ExampleCachedResolver() {
	resolver := parley.CachedResolver(net.DefaultResolver, 30*time.Second)
	client, err := parley.New(parley.WithResolver(resolver))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	resolver.Clear() // after a failover
	fmt.Println(client)
	// Output: <Client [0 active, 0 idle]>
}

func ExampleClient_Warm() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") }))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	n, err := client.Warm(context.Background(), "", 4)
	fmt.Println(n, err)
	client.CloseIdle()
	fmt.Println(client.Stats().Idle)
	// Output:
	// 4 <nil>
	// 0
}

func ExamplePool_Open() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "fine") }))
	defer server.Close()
	pool, err := parley.NewPool(parley.PoolConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	conn, err := pool.Open(context.Background(), server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close()
	one, err := parley.New(parley.WithTransport(conn), parley.WithBaseURL(server.URL), parley.WithEnv(false))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer one.Close()
	for range 2 { // on the one connection
		fmt.Println(parley.As[string](one.Get(context.Background(), "status")))
	}
	// Output:
	// fine <nil>
	// fine <nil>
}
