package parley_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// mirror answers a request with what it was.
func mirror() (*httptest.Server, *parley.Client) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		length := fmt.Sprint(r.ContentLength, " bytes")
		if r.ContentLength < 0 {
			length = "chunked"
		}
		fmt.Fprintf(w, "%s %s, %s\n%q\n", r.Method, r.Header.Get("Content-Type"), length, content)
	}))
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	return server, client
}

// show prints an answer.
func show(resp *parley.Response, err error) {
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := resp.Text()
	fmt.Print(text)
	if err != nil {
		fmt.Println(err)
	}
}

// account is what the examples send.
type account struct {
	Name  string   `json:"name" xml:"name" url:"name"`
	Roles []string `json:"roles,omitempty" xml:"role" url:"role"`
}

func ExampleWithJSON() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	show(client.Post(context.Background(), "accounts", parley.WithJSON(account{Name: "R&D"})))
	// Output:
	// POST application/json, 14 bytes
	// "{\"name\":\"R&D\"}"
}

func ExampleWithJSONEncoder() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	indented, err := client.With(parley.WithJSONEncoder(func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }))
	if err != nil {
		log.Fatal(err)
	}
	show(indented.Post(context.Background(), "accounts", parley.WithJSON(account{Name: "ann"})))
	// Output:
	// POST application/json, 19 bytes
	// "{\n  \"name\": \"ann\"\n}"
}

func ExampleWithXML() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	show(client.Post(context.Background(), "accounts", parley.WithXML(account{Name: "ann"})))
	// Output:
	// POST application/xml; charset=utf-8, 74 bytes
	// "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<account><name>ann</name></account>"
}

func ExampleWithForm() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	ctx := context.Background()
	show(client.Post(ctx, "accounts", parley.WithForm(account{Name: "ann lee", Roles: []string{"admin", "dev"}})))
	show(client.Post(ctx, "accounts", parley.WithForm(map[string]any{"page": 2, "all": true})))
	show(client.Post(ctx, "accounts", parley.WithForm(parley.Params{{Key: "z", Value: "first"}, {Key: "a", Value: "second"}})))
	// Output:
	// POST application/x-www-form-urlencoded, 32 bytes
	// "name=ann+lee&role=admin&role=dev"
	// POST application/x-www-form-urlencoded, 15 bytes
	// "all=true&page=2"
	// POST application/x-www-form-urlencoded, 16 bytes
	// "z=first&a=second"
}

func ExampleWithText() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	show(client.Put(context.Background(), "note", parley.WithText("grüß")))
	// Output:
	// PUT text/plain; charset=utf-8, 6 bytes
	// "grüß"
}

func ExampleWithTextCharset() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	ctx := context.Background()
	show(client.Put(ctx, "note", parley.WithTextCharset("grüß", "iso-8859-1")))
	_, err := client.Put(ctx, "note", parley.WithTextCharset("5 €", "iso-8859-1"))
	fmt.Println(err != nil)
	// Output:
	// PUT text/plain; charset=iso-8859-1, 4 bytes
	// "gr\xfc\xdf"
	// true
}

func ExampleWithBytes() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	show(client.Put(context.Background(), "blob", parley.WithBytes([]byte{0, 1, 2}), parley.WithHeader("Content-Type", "application/octet-stream")))
	// Output:
	// PUT application/octet-stream, 3 bytes
	// "\x00\x01\x02"
}

func ExampleWithReader_lengths() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	ctx := context.Background()
	show(client.Put(ctx, "log", parley.WithReader(strings.NewReader("its length is known"))))
	show(client.Put(ctx, "log", parley.WithReader(io.MultiReader(strings.NewReader("as it "), strings.NewReader("comes")))))
	// Output:
	// PUT , 19 bytes
	// "its length is known"
	// PUT , chunked
	// "as it comes"
}

func ExampleWithBodyFile() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	dir, err := os.MkdirTemp("", "body")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "page.html")
	if err := os.WriteFile(path, []byte("<p>hello"), 0o600); err != nil {
		log.Fatal(err)
	}
	show(client.Put(context.Background(), "page", parley.WithBodyFile(path)))
	// Output:
	// PUT text/html; charset=utf-8, 8 bytes
	// "<p>hello"
}

func ExampleWithChunks() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	rows := func(yield func([]byte, error) bool) {
		for i := range 3 {
			if !yield(fmt.Appendf(nil, "row %d\n", i), nil) {
				return // the request has ended
			}
		}
	}
	show(client.Post(context.Background(), "import", parley.WithChunks(rows), parley.WithHeader("Content-Type", "text/csv")))
	// Output:
	// POST text/csv, chunked
	// "row 0\nrow 1\nrow 2\n"
}

func ExampleWithJSONLines() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	accounts := []account{{Name: "ann"}, {Name: "bob"}}
	show(client.Post(context.Background(), "bulk", parley.WithJSONLines(slices.Values(accounts))))
	// Output:
	// POST application/x-ndjson, chunked
	// "{\"name\":\"ann\"}\n{\"name\":\"bob\"}\n"
}

// A slice gives the same whenever it is ranged over, so that its body can follow a redirect.
func ExampleRewindable() {
	once := parley.JSONLinesBody(slices.Values([]int{1, 2, 3}))
	again := parley.Rewindable(once)
	fmt.Println(once.Replayable(), again.Replayable())
	// Output: false true
}

func ExampleWithCompression() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		fmt.Fprintln(w, r.Header.Get("Content-Encoding"), r.Header.Get("Content-Type"), len(content) < 100)
	}))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL), parley.WithCompression("zstd"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx := context.Background()
	long := parley.WithText(strings.Repeat("all work and no play ", 1000))
	show(client.Post(ctx, "book", long))
	show(client.Post(ctx, "book", long, parley.WithCompression("identity")))
	// Output:
	// zstd text/plain; charset=utf-8 true
	//  text/plain; charset=utf-8 false
}

// The digest of a body is known once that was read: it follows as a trailer (RFC 9530).
func ExampleWithTrailer_digest() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, _ := io.Copy(sum, r.Body)
		want := "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"
		fmt.Fprintln(w, n, "bytes, digest is right:", r.Trailer.Get("Repr-Digest") == want)
	}))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	sum := sha256.New()
	body := io.TeeReader(strings.NewReader("streamed from somewhere"), sum)
	show(client.Put(context.Background(), "blob", parley.WithReader(body), parley.WithTrailer("Repr-Digest", func() string {
		return "sha-256=:" + base64.StdEncoding.EncodeToString(sum.Sum(nil)) + ":"
	})))
	// Output: 23 bytes, digest is right: true
}

func ExampleWithUploadProgress() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	_, err := client.Put(context.Background(), "note", parley.WithText("hello"), parley.WithUploadProgress(func(p parley.Progress) {
		fmt.Printf("%d of %d bytes, done: %t\n", p.Bytes, p.Total, p.Done)
	}))
	if err != nil {
		log.Fatal(err)
	}
	// Output: 5 of 5 bytes, done: true
}

func ExampleWithDownloadProgress() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	defer server.Close()
	_, err := parley.Get(context.Background(), server.URL, parley.WithDownloadProgress(func(p parley.Progress) {
		fmt.Printf("%d of %d bytes, done: %t\n", p.Bytes, p.Total, p.Done)
	}))
	if err != nil {
		log.Fatal(err)
	}
	// Output: 5 of 5 bytes, done: true
}

func ExampleClient_Query() {
	server, client := mirror()
	defer server.Close()
	defer client.Close()
	show(client.Query(context.Background(), "search", parley.WithJSON(map[string]any{"name": "ann"})))
	// Output:
	// QUERY application/json, 14 bytes
	// "{\"name\":\"ann\"}"
}
