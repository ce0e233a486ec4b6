package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/seed-0474a412/parley"
)

// answers is a session to a server in the same process that gives each path an answer.
func answers(contentType string, bodies map[string]string) *parley.Client {
	client, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, bodies[r.URL.Path])
	})))
	if err != nil {
		panic(err)
	}
	return client
}

func ExampleResponse_Lines() {
	client := answers("text/plain", map[string]string{"/log": "started\r\nready\nlast words"})
	defer client.Close()
	resp, err := client.Stream(context.Background(), "GET", "log")
	if err != nil {
		fmt.Println(err)
		return
	}
	for line, err := range resp.Lines() {
		fmt.Printf("%q %v\n", line, err)
	}
	// Output:
	// "started" <nil>
	// "ready" <nil>
	// "last words" <nil>
}

func ExampleJSONLines() {
	client := answers("application/x-ndjson", map[string]string{"/log": `{"level":"info","text":"started"}

{"level":"error","text":"no disk"}
`})
	defer client.Close()
	type Entry struct{ Level, Text string }
	for entry, err := range parley.JSONLines[Entry](client.Stream(context.Background(), "GET", "log")) {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(entry.Level, entry.Text)
	}
	// Output:
	// info started
	// error no disk
}

func ExampleJSONArray() {
	client := answers("application/json", map[string]string{"/users": `{"count":2,"data":{"users":[{"name":"Ada"},{"name":"Alan"}]}}`})
	defer client.Close()
	type User struct{ Name string }
	resp, err := client.Stream(context.Background(), "GET", "users")
	for user, err := range parley.JSONArray[User](resp, err, "data", "users") {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(user.Name)
	}
	// Output:
	// Ada
	// Alan
}

func ExampleClient_Events() {
	// A server that tells two prices on each connection, where it was left.
	prices := map[string]string{
		"":  "retry: 100\n\nevent: price\nid: 1\ndata: 17\n\nevent: price\nid: 2\ndata: 18\n\n",
		"2": "event: price\nid: 3\ndata: 16\n\nevent: end\ndata\n\n",
	}
	client, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, prices[r.Header.Get("Last-Event-ID")])
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for event, err := range client.Events(context.Background(), "prices") {
		if err != nil {
			fmt.Println(err)
			return
		}
		if event.Type == "end" {
			break
		}
		fmt.Println(event.ID, event.Type, event.Data)
	}
	// Output:
	// 1 price 17
	// 2 price 18
	// 3 price 16
}

func ExampleResponse_Events() {
	client := answers("text/event-stream", map[string]string{"/chat": "data: {\"text\":\"Hel\"}\n\ndata: {\"text\":\"lo\"}\n\ndata: [DONE]\n\n"})
	defer client.Close()
	resp, err := client.Stream(context.Background(), "POST", "chat", parley.WithJSON(map[string]any{"stream": true}))
	if err != nil {
		fmt.Println(err)
		return
	}
	for event, err := range resp.Events() {
		if err != nil || event.Data == "[DONE]" {
			break
		}
		fmt.Println(event.Data)
	}
	// Output:
	// {"text":"Hel"}
	// {"text":"lo"}
}

func ExampleWithEventsPolicy() {
	// Look for a server that is gone every few seconds, for about a minute, and take a
	// minute without a byte for one that is gone.
	client, err := parley.New(parley.WithBaseURL("http://a.test"),
		parley.WithEventsPolicy(parley.EventsPolicy{Retry: 2 * time.Second, MaxRetry: 10 * time.Second, MaxTries: 8}),
		parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNotFound) })))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	for _, err := range client.Events(context.Background(), "feed", parley.WithTimeouts(parley.Timeouts{Read: time.Minute})) {
		fmt.Println(err)
	}
	// Output:
	// GET http://a.test/feed: status 404 Not Found
}

func ExampleResponse_Peek() {
	client := answers("application/octet-stream", map[string]string{"/file": "%PDF-1.7 and so on"})
	defer client.Close()
	resp, err := client.Stream(context.Background(), "GET", "file")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Close()
	head, err := resp.Peek(512)
	fmt.Println(http.DetectContentType(head), err)
	text, err := resp.Text()
	fmt.Println(text, err)
	// Output:
	// application/pdf <nil>
	// %PDF-1.7 and so on <nil>
}

func ExampleResponse_Parts() {
	client := answers("multipart/byteranges; boundary=b", map[string]string{"/file": strings.ReplaceAll(`--b
Content-Range: bytes 0-4/100

first
--b
Content-Range: bytes 96-99/100

last
--b--
`, "\n", "\r\n")})
	defer client.Close()
	resp, err := client.Stream(context.Background(), "GET", "file", parley.WithHeader("Range", "bytes=0-4,-4"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for part, err := range resp.Parts() {
		if err != nil {
			fmt.Println(err)
			return
		}
		content, err := io.ReadAll(part.Body)
		fmt.Printf("%d to %d of %d: %s %v\n", part.Range.First, part.Range.Last, part.Range.Size, content, err)
	}
	// Output:
	// 0 to 4 of 100: first <nil>
	// 96 to 99 of 100: last <nil>
}

func ExampleWithMinThroughput() {
	client, err := parley.New(parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a few bytes")
		http.NewResponseController(w).Flush()
		<-r.Context().Done() // and no more
	})))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close()
	_, err = client.Get(context.Background(), "http://a.test/file", parley.WithMinThroughput(1024, 50*time.Millisecond))
	fmt.Println(errors.Is(err, parley.ErrTooSlow), errors.Is(err, parley.ErrTimeout))
	fmt.Println(err)
	// Output:
	// true true
	// GET http://a.test/file: read: transfer too slow: less than 1024 bytes in 50ms
}
