package api_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// exampleServer answers with its name.
func exampleServer(name string) *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s: %s", name, r.URL.Path)
	}))
}

// Two servers share the requests. One goes away, and nobody notices.
func ExampleNewBalancer() {
	one, two := exampleServer("one"), exampleServer("two")
	defer two.Close()

	b, err := api.NewBalancer("http://users.internal", api.BalancerConfig{
		Servers: api.Servers(one.URL, two.URL),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	client, err := b.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for range 4 {
		if _, err := client.Get(context.Background(), "users/7"); err != nil {
			log.Fatal(err)
		}
	}
	for i, s := range b.Stats() {
		fmt.Printf("server %d had %d requests\n", i, s.Requests)
	}

	one.Close()
	for range 4 {
		resp, err := client.Get(context.Background(), "users/7")
		if err != nil {
			log.Fatal(err)
		}
		text, err := resp.Text()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(text)
	}
	fmt.Println("left out:", b.Stats()[0].Out)
	// Output:
	// server 0 had 2 requests
	// server 1 had 2 requests
	// two: /users/7
	// two: /users/7
	// two: /users/7
	// two: /users/7
	// left out: true
}

// What is written goes to one server, what is read to the others.
func ExampleBalancerConfig_choose() {
	primary, replica := exampleServer("primary"), exampleServer("replica")
	defer primary.Close()
	defer replica.Close()

	b, err := api.NewBalancer("http://db.internal", api.BalancerConfig{
		Servers: api.Servers(primary.URL, replica.URL),
		Choose: func(req *parley.Request, among []api.ServerStats) int {
			reads := req.Method == http.MethodGet || req.Method == http.MethodHead
			for i, s := range among {
				if (s.URL == primary.URL+"/") != reads {
					return i
				}
			}
			return -1 // none of them: the balancer chooses
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := b.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodGet} {
		resp, err := client.Request(context.Background(), method, "rows/1")
		if err != nil {
			log.Fatal(err)
		}
		text, err := resp.Text()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(method, text)
	}
	// Output:
	// GET replica: /rows/1
	// PUT primary: /rows/1
	// GET replica: /rows/1
}

// The servers are found by a function; [api.SRVSource] and [api.AddressSource] ask DNS.
func ExampleSourceFunc() {
	server := exampleServer("found")
	defer server.Close()
	b, err := api.NewBalancer("http://search.internal", api.BalancerConfig{
		Source: api.SourceFunc(func(context.Context) ([]api.Server, error) {
			return api.Servers(server.URL), nil
		}),
		Refresh: 30 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	client, err := b.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	resp, err := client.Get(context.Background(), "q")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(resp.StatusCode, api.ServedBy(resp) == server.URL+"/")
	// Output: 200 true
}

// A server that does not answer probes gets no requests.
func ExampleBalancer_Probe() {
	well := exampleServer("well")
	defer well.Close()
	out := make(chan string, 8)
	b, err := api.NewBalancer("http://users.internal", api.BalancerConfig{
		Servers:  api.Servers(well.URL, "http://gone.internal"),
		OnChange: func(s api.ServerStats) { out <- s.URL },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer b.Close()
	client, err := b.NewClient(parley.WithResolver(noNames{}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := b.Probe(client, api.Probe{URL: "healthz", Interval: 10 * time.Millisecond}); err != nil {
		log.Fatal(err)
	}
	fmt.Println("left out:", <-out)
	// Output: left out: http://gone.internal/
}

// noNames is a resolver that knows no names.
type noNames struct{}

func (noNames) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}
