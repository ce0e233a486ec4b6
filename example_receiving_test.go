package parley_test

import (
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley"
)

// zips answers with a text in gzip to those that understand it.
func zips(text string) *parley.Client {
	client, err := parley.New(parley.WithBaseURL("http://a.test"), parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			fmt.Fprint(w, text)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		defer z.Close()
		fmt.Fprint(z, text)
	})))
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// What comes in a coding is decoded; WithDecompression(false) asks for it as it is.
func ExampleWithDecompression() {
	client := zips("hello")
	defer client.Close()
	for _, decode := range []bool{true, false} {
		resp, err := client.Get(context.Background(), "x", parley.WithDecompression(decode))
		if err != nil {
			fmt.Println(err)
			return
		}
		text, err := resp.Text()
		fmt.Printf("%s %v, it was coded: %v\n", text, err, resp.Uncompressed)
	}
	// Output:
	// hello <nil>, it was coded: true
	// hello <nil>, it was coded: false
}

// A small answer that becomes a large one is stopped where it passes the limit.
func ExampleWithMaxBodyBytes() {
	client := zips(strings.Repeat("bomb", 1<<20))
	defer client.Close()
	_, err := client.Get(context.Background(), "x", parley.WithMaxBodyBytes(1<<20))
	fmt.Println(errors.Is(err, parley.ErrBodyTooLarge))
	// Output: true
}

func ExampleResponse_Chunks() {
	client := answers("text/plain", map[string]string{"/numbers": "0123456789"})
	defer client.Close()
	resp, err := client.Stream(context.Background(), "GET", "numbers")
	if err != nil {
		fmt.Println(err)
		return
	}
	for piece, err := range resp.Chunks(4) { // as they arrive, so that one may be shorter
		fmt.Printf("%s %v\n", piece, err)
	}
	// Output:
	// 0123 <nil>
	// 4567 <nil>
	// 89 <nil>
}

// A single item that would take too much memory ends the loop.
func ExampleWithMaxItemBytes() {
	client := answers("text/plain", map[string]string{"/log": "short\n" + strings.Repeat("x", 2000)})
	defer client.Close()
	resp, err := client.Stream(context.Background(), "GET", "log", parley.WithMaxItemBytes(1000))
	if err != nil {
		fmt.Println(err)
		return
	}
	for line, err := range resp.Lines() {
		fmt.Printf("%q %v\n", line, errors.Is(err, parley.ErrBodyTooLarge))
	}
	// Output:
	// "short" false
	// "" true
}

// As decodes by what the server says that it sent.
func ExampleAs_mediaTypes() {
	type user struct {
		XMLName xml.Name `xml:"user" json:"-" url:"-"`
		Name    string   `xml:"name" json:"name" url:"name"`
	}
	for typ, body := range map[string]string{
		"application/json": `{"name": "ann"}`, "application/xml": "<user><name>ann</name></user>", "application/x-www-form-urlencoded": "name=ann",
	} {
		client := answers(typ, map[string]string{"/user": body})
		got, err := parley.As[user](client.Get(context.Background(), "user"))
		fmt.Println(got.Name, err)
		client.Close()
	}
	// Output:
	// ann <nil>
	// ann <nil>
	// ann <nil>
}

// Text is UTF-8, whatever the server wrote it in.
func ExampleResponse_Text() {
	client := answers("text/plain; charset=iso-8859-1", map[string]string{"/word": "Gr\xfc\xdfe"})
	defer client.Close()
	resp, err := client.Get(context.Background(), "word")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(resp.Text())
	// Output: Grüße <nil>
}

// A download that was cut goes on where it ended; here it does so in parts, several of
// them at once.
func ExampleWithDownload() {
	const text = "The quick brown fox jumps over the lazy dog.\n"
	content := strings.Repeat(text, 20_000)
	var asked atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"1"`)
		if !asked.Swap(true) {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			io.WriteString(w, content[:len(content)/2])
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	defer server.Close()
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	atOnce := parley.WithDownload(parley.DownloadConfig{Parallel: 3, PartSize: 128 << 10})
	for range 2 {
		file, err := client.Download(context.Background(), "fox.txt", filepath.Join(dir, "fox.txt"), atOnce)
		if errors.Is(err, parley.ErrNetwork) {
			fmt.Println("cut")
			continue
		}
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(file.Size, "bytes; some were there before:", file.Resumed > 0)
	}
	// Output:
	// cut
	// 900000 bytes; some were there before: true
}

// Whoever stores a stream by hand has a name for it that is safe in a directory.
func ExampleResponse_Filename() {
	resp := &parley.Response{Header: http.Header{"Content-Disposition": {`attachment; filename="../../etc/passwd"`}}}
	fmt.Println(resp.Filename())
	// Output: passwd
}
