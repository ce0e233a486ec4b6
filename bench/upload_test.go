package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed-0474a412/parley"
)

// discarder takes requests, reads their content and answers, on loopback.
func discarder(b *testing.B) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				discardRequests(conn)
			}()
		}
	}()
	return l.Addr().String()
}

func discardRequests(conn net.Conn) {
	br, buf := bufio.NewReader(conn), make([]byte, 256<<10)
	for {
		r, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		if _, err := io.CopyBuffer(writerOnly{io.Discard}, struct{ io.Reader }{r.Body}, buf); err != nil {
			return
		}
		if _, err := conn.Write(answerOK()); err != nil {
			return
		}
	}
}

// BenchmarkUploadFile sends a file of 256 MiB: by hand over a socket, which the kernel
// does (sendfile) or a copy in pieces, by net/http, and by parley as it is and in a form.
func BenchmarkUploadFile(b *testing.B) {
	const size = 256 << 20
	path := filepath.Join(b.TempDir(), "large.bin")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		b.Fatal(err)
	}
	addr := discarder(b)
	session, err := parley.New(parley.WithBaseURL("http://" + addr))
	if err != nil {
		b.Fatal(err)
	}
	defer session.Close()
	defer http.DefaultClient.CloseIdleConnections()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	put := func(opt parley.RequestOption) error {
		_, err := session.Put(b.Context(), "up", opt)
		return err
	}
	ways := []struct {
		name string
		send func() error
	}{
		{"raw sendfile", func() error { return rawPut(conn, conn, path, size) }},
		{"raw copy", func() error { return rawPut(conn, writerOnly{conn}, path, size) }},
		{"net-http", func() error { return httpPut(addr, path, size) }},
		{"parley file", func() error { return put(parley.WithBodyFile(path)) }},
		{"parley form", func() error {
			return put(parley.WithMultipart(parley.FormField("a", "b"), parley.FormFile("f", path)))
		}},
	}
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if err := way.send(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// rawPut writes head and file, the latter to w, and reads the answer.
func rawPut(conn net.Conn, w io.Writer, path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := fmt.Fprintf(conn, "PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", size); err != nil {
		return err
	}
	if w == io.Writer(conn) {
		_, err = io.Copy(conn, f)
	} else {
		_, err = io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, chunkSize))
	}
	if err != nil {
		return err
	}
	_, err = io.ReadFull(conn, make([]byte, len(answerOK())))
	return err
}

func httpPut(addr, path string, size int64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPut, "http://"+addr+"/up", f)
	if err != nil {
		return err
	}
	req.ContentLength = size
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
