package parleytest

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-0474a412/parley"
)

func anAnswerHasAllItsParts(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Add("X-Several", "one")
		w.Header().Add("X-Several", "two")
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(http.StatusCreated)
		io.WriteString(w, "content")
	})
	req := r.request("GET", "/x")
	resp := r.send(req)
	equal(r, "StatusCode", resp.StatusCode, http.StatusCreated)
	equal(r, "Status", resp.Status, "201 Created")
	if !strings.HasPrefix(resp.Proto, "HTTP/") {
		r.Errorf("Proto is %q", resp.Proto)
	}
	equal(r, "a header with two values", strings.Join(resp.Header["X-Several"], ","), "one,two")
	if resp.ContentLength >= 0 {
		equal(r, "ContentLength", resp.ContentLength, int64(len("content")))
	}
	equal(r, "the body", r.read(resp), "content")
}

func aRequestArrivesAsItIs(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		fmt.Fprint(w, q.Method, " ", q.RequestURI, " ", q.Host, " ", strings.Join(q.Header["X-Several"], ","), " ", q.URL.User)
	})
	req := r.request("PATCH", "/a%2Fb/%C3%A9?q=a+b&q=%26&empty", parley.WithHost("other.test"))
	req.Header["X-Several"] = []string{"one", "two"}
	equal(r, "what arrived", r.read(r.send(req)), "PATCH /a%2Fb/%C3%A9?q=a+b&q=%26&empty other.test one,two ")
}

func aRequestIsNotModified(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) { io.Copy(w, q.Body) })
	req := r.request("POST", "/x?y=z", parley.WithText("content"), parley.WithHeader("X-A", "1"), parley.WithTrailer("X-T", func() string { return "t" }))
	before := *req
	address, header := req.URL.String(), req.Header.Clone()
	for range 2 {
		equal(r, "the body", r.read(r.send(req)), "content")
	}
	equal(r, "URL", req.URL.String(), address)
	equal(r, "URL, the pointer", req.URL, before.URL)
	if !maps.EqualFunc(req.Header, header, slices.Equal) {
		r.Errorf("Header is now %v", slices.Sorted(maps.Keys(req.Header)))
	}
	equal(r, "Method", req.Method, before.Method)
	equal(r, "Host", req.Host, before.Host)
	equal(r, "Target", req.Target, before.Target)
	equal(r, "Body", req.Body, before.Body)
	equal(r, "Timeouts", req.Timeouts, before.Timeouts)
	equal(r, "Trailers", len(req.Trailers), 1)
}

func whatWasLeftOutIsNotAdded(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		coding := q.Header.Get("Accept-Encoding")
		if strings.Contains(coding, "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
		}
		fmt.Fprintf(w, "%q %q", q.Header["User-Agent"], q.Header["Cookie"])
	})
	resp := r.send(r.request("GET", "/x"))
	equal(r, "Content-Encoding", resp.Header.Get("Content-Encoding"), "")
	equal(r, "Uncompressed", resp.Uncompressed, false)
	equal(r, "User-Agent and Cookie", r.read(resp), "[] []")
}

func someAnswersHaveNoBody(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/head":
			w.Header().Set("Content-Length", "7")
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/304":
			w.Header().Set("ETag", `"a"`)
			w.WriteHeader(http.StatusNotModified)
		}
	})
	for _, c := range []struct {
		method, path string
		status       int
	}{{"HEAD", "/head", 200}, {"GET", "/204", 204}, {"GET", "/304", 304}, {"GET", "/empty", 200}} {
		resp := r.send(r.request(c.method, c.path))
		equal(r, c.path+": status", resp.StatusCode, c.status)
		if c.method == "HEAD" {
			equal(r, "ContentLength of the answer to HEAD", resp.ContentLength, 7)
		}
		if c.status == http.StatusNotModified {
			equal(r, "ETag", resp.Header.Get("ETag"), `"a"`)
		}
		equal(r, c.path+": body", r.read(resp), "")
	}
}

func redirectsComeBack(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		status, _ := strconv.Atoi(q.URL.Path[1:])
		w.Header().Set("Location", "/elsewhere")
		w.Header().Set("Set-Cookie", "a=b")
		w.WriteHeader(status)
		io.WriteString(w, "as it is")
	})
	for _, status := range []int{301, 302, 303, 307, 308, 401, 404, 500} {
		resp := r.send(r.request("GET", "/"+strconv.Itoa(status)))
		equal(r, "status", resp.StatusCode, status)
		equal(r, "Location", resp.Header.Get("Location"), "/elsewhere")
		equal(r, "Set-Cookie", resp.Header.Get("Set-Cookie"), "a=b")
		equal(r, "the body", r.read(resp), "as it is")
	}
}

func bodiesOfTheRequest(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		b, err := io.ReadAll(q.Body)
		fmt.Fprintf(w, "%d %q %q %v %v", q.ContentLength, b, q.TransferEncoding, q.Header["Content-Type"], err)
	})
	for what, c := range map[string]struct {
		req  *parley.Request
		want string
	}{
		"none":         {r.request("POST", "/x"), `0 "" [] [] <nil>`},
		"in memory":    {r.request("POST", "/x", parley.WithText("abc")), `3 "abc" [] [text/plain; charset=utf-8] <nil>`},
		"empty":        {r.request("PUT", "/x", parley.WithBytes([]byte{})), `0 "" [] [] <nil>`},
		"a reader":     {r.request("POST", "/x", parley.WithReader(io.MultiReader(strings.NewReader("ab"), strings.NewReader("c")))), `-1 "abc" ["chunked"] [] <nil>`},
		"a known size": {r.request("POST", "/x", parley.WithReader(strings.NewReader("abc"))), `3 "abc" [] [] <nil>`},
		"with DELETE":  {r.request("DELETE", "/x", parley.WithBytes([]byte("abc"))), `3 "abc" [] [] <nil>`},
	} {
		equal(r, what, r.read(r.send(c.req)), c.want)
	}
}

// largeBody is more than fits any buffer on the way.
const largeBody = 4 << 20

// pattern is a reader of bytes that can be recognised.
type pattern struct{ at, size int }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	n := min(len(b), p.size-p.at)
	for i := range b[:n] {
		b[i] = byte((p.at + i) * 31 >> 3)
	}
	p.at += n
	return n, nil
}

func sumOf(h hash.Hash) string { return fmt.Sprintf("%x", h.Sum(nil)) }

func largeBodies(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		h := sha256.New()
		io.Copy(h, q.Body)
		w.Header().Set("X-Sum", sumOf(h))
		io.Copy(w, &pattern{size: largeBody})
	})
	want := sha256.New()
	io.Copy(want, &pattern{size: largeBody})
	for _, body := range []parley.Body{parley.ReaderBody(&pattern{size: largeBody}), &trackedBody{content: func() io.Reader { return &pattern{size: largeBody} }, size: largeBody}} {
		resp := r.send(r.request("POST", "/x", parley.WithBody(body)))
		equal(r, "what arrived", resp.Header.Get("X-Sum"), sumOf(want))
		got := sha256.New()
		n, err := io.Copy(got, resp.Body)
		if err != nil {
			r.Fatalf("reading the body: %v", err)
		}
		r.close(resp)
		equal(r, "the length of what came back", n, largeBody)
		equal(r, "what came back", sumOf(got), sumOf(want))
	}
}

func streamsBothWays(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		c := http.NewResponseController(w)
		if err := c.EnableFullDuplex(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		c.Flush()
		for lines := bufio.NewScanner(q.Body); lines.Scan(); c.Flush() {
			fmt.Fprintln(w, "echo", lines.Text())
		}
	})
	out, in := io.Pipe()
	resp := r.send(r.request("POST", "/x", parley.WithReader(out)))
	lines := bufio.NewReader(resp.Body)
	for i := range 3 {
		fmt.Fprintln(in, "line", i)
		got, err := lines.ReadString('\n')
		if err != nil {
			r.Fatalf("line %d: %v", i, err)
		}
		equal(r, "what came back", got, fmt.Sprintln("echo line", i))
	}
	in.Close()
	if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
		r.Errorf("after the last line: %q %v", rest, err)
	}
	r.close(resp)
}

func trailersBothWays(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		n, _ := io.Copy(w, q.Body)
		w.Header().Set("X-Sum", strconv.FormatInt(n, 10)+" "+q.Trailer.Get("X-Asked"))
	})
	req := r.request("POST", "/x", parley.WithReader(&pattern{size: 10}), parley.WithTrailer("X-Asked", func() string { return "well" }))
	resp := r.send(req)
	equal(r, "trailers before the body's end", resp.Trailer.Get("X-Sum"), "")
	equal(r, "length", len(r.read(resp)), 10)
	equal(r, "the trailer", resp.Trailer.Get("X-Sum"), "10 well")
}

func informationalAnswers(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusOK)
	})
	var seen []string
	req := r.request("GET", "/x", parley.WithInformational(func(status int, header http.Header) {
		seen = append(seen, fmt.Sprint(status, " ", header.Get("Link")))
	}))
	resp := r.send(req)
	equal(r, "the answers before", strings.Join(seen, ";"), "103 </style.css>; rel=preload")
	equal(r, "status", resp.StatusCode, 200)
	equal(r, "body", r.read(resp), "")
}

func manyAtOnce(r *rig) {
	r.handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		io.WriteString(w, q.Header.Get("X-Id")+" ")
		io.Copy(w, q.Body)
	})
	shared := r.request("POST", "/x", parley.WithText("shared"), parley.WithHeader("X-Id", "all"))
	exchange := func(req *parley.Request, want string) error {
		resp, err := r.transport.Send(r.ctx, req)
		if err != nil {
			return err
		}
		b, err := io.ReadAll(resp.Body)
		if err == nil && string(b) != want {
			err = fmt.Errorf("the answer %q, should be %q", b, want)
		}
		resp.Body.Close()
		return err
	}
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 10 {
				id := fmt.Sprint(i, "/", j)
				own, err := parley.NewRequest("POST", r.base+"/x", parley.WithText(id), parley.WithHeader("X-Id", id))
				if err == nil {
					err = exchange(own, id+" "+id)
				}
				if err == nil {
					err = exchange(shared, "all shared")
				}
				if err != nil {
					r.Errorf("%s: %v", id, err)
					return
				}
			}
		})
	}
	all.Wait()
}
