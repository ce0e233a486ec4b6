package parley_test

import (
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// fullAnswer is what came of a request, without what differs from one moment to the next.
type fullAnswer struct {
	Status  string
	Header  http.Header
	Length  int64
	Body    string
	Trailer http.Header
	Failed  bool
	Network bool // the failure is of the network's kind
	Told    string
}

// answerOf sends a request and reads the answer.
func answerOf(t *testing.T, transport parley.Transport, req *parley.Request) fullAnswer {
	t.Helper()
	var told strings.Builder
	req.OnInformational = func(status int, h http.Header) { fmt.Fprint(&told, status, h.Get("Link"), ";") }
	resp, err := transport.Send(t.Context(), req)
	if err != nil {
		return fullAnswer{Failed: true, Network: errors.Is(err, parley.ErrNetwork), Told: told.String()}
	}
	defer resp.Close()
	body, err := io.ReadAll(resp.Body)
	header := resp.Header.Clone()
	if header.Get("Date") != "" {
		header.Set("Date", "some")
	}
	delete(header, "Transfer-Encoding")
	if v := header["Connection"]; slices.Equal(v, []string{"close"}) {
		delete(header, "Connection") // how net/http breaks off, with a word before
	}
	return fullAnswer{resp.Status, header, resp.ContentLength, string(body), resp.Trailer, err != nil, errors.Is(err, parley.ErrNetwork), told.String()}
}

// handlers are ways to answer that the server of net/http has a rule for.
var handlers = map[string]http.HandlerFunc{
	"nothing at all":          func(http.ResponseWriter, *http.Request) {},
	"a status alone":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(418) },
	"a status without a name": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) },
	"the second status":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(202) },
	"text":                    func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "text") },
	"HTML":                    func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html><p>x") },
	"in two parts":            func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>"); io.WriteString(w, "x") },
	"a type of its own": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		io.WriteString(w, "x")
	},
	"a type that is nil": func(w http.ResponseWriter, _ *http.Request) { w.Header()["Content-Type"] = nil; io.WriteString(w, "x") },
	"a date of its own":  func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Date", "x"); io.WriteString(w, "x") },
	"no date":            func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; io.WriteString(w, "x") },
	"a coding": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "x")
		io.WriteString(w, "x")
	},
	"flushed":        func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); w.(http.Flusher).Flush() },
	"flushed before": func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); io.WriteString(w, "x") },
	"2048 bytes":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 2048)) },
	"2049 bytes":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 2049)) },
	"2049 in parts": func(w http.ResponseWriter, _ *http.Request) {
		for range 2049 {
			io.WriteString(w, "x")
		}
	},
	"large": func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("x", 300_000)) },
	"a length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
	},
	"a length, and less": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "5")
		io.WriteString(w, "abc")
	},
	"a length, and nothing": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Length", "5") },
	"a length, and more": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "2")
		io.WriteString(w, "abc")
	},
	"a length that is none": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "x")
		io.WriteString(w, "abc")
	},
	"a length below zero": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "-2")
		io.WriteString(w, "abc")
	},
	"a length of 0": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "0")
		io.WriteString(w, "abc")
	},
	"chunked by hand": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Transfer-Encoding", "chunked")
		io.WriteString(w, "abc")
	},
	"204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); io.WriteString(w, "abc") },
	"204 with a length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		w.WriteHeader(204)
	},
	"304 with a type": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "a/b")
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(304)
	},
	"headers after the status": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.Header().Set("X-Late", "1")
		io.WriteString(w, "x")
	},
	"several values": func(w http.ResponseWriter, _ *http.Request) { w.Header().Add("X-A", "1"); w.Header().Add("X-A", "2") },
	"names in another case": func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["x-a"] = []string{"1"}
		io.WriteString(w, "x")
	},
	"a line break in a value": func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-A"] = []string{"1\r\nX-B: 2"} },
	"spaces around a value":   func(w http.ResponseWriter, _ *http.Request) { w.Header()["X-A"] = []string{"  1\t "} },
	"a name that is none":     func(w http.ResponseWriter, _ *http.Request) { w.Header()["X A"] = []string{"1"} },
	"trailers announced": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-T, x-u")
		io.WriteString(w, "x")
		w.Header().Set("X-T", "1")
		w.Header().Set("X-V", "1")
	},
	"trailers by prefix": func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "x")
		w.Header().Set(http.TrailerPrefix+"X-T", "1")
	},
	"trailers by prefix, flushed": func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		w.Header().Set(http.TrailerPrefix+"X-T", "1")
	},
	"trailers and a length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-T")
		w.Header().Set("Content-Length", "1")
		io.WriteString(w, "x")
		w.Header().Set("X-T", "1")
	},
	"trailers that are forbidden": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "Content-Length")
		io.WriteString(w, "x")
		w.Header().Set("Content-Length", "1")
	},
	"a trailer in the head too": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-T")
		w.Header().Set("X-T", "0")
		io.WriteString(w, "x")
		w.Header().Set("X-T", "1")
	},
	"an answer before": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "a")
		w.WriteHeader(103)
		w.Header().Set("Link", "b")
		w.WriteHeader(102)
		io.WriteString(w, "x")
	},
	"an answer before, too late": func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		w.WriteHeader(103)
		io.WriteString(w, "x")
	},
	"nine answers before": func(w http.ResponseWriter, _ *http.Request) {
		for range 9 {
			w.WriteHeader(103)
		}
	},
	"a status that is none": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(99) },
	"a panic":               func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "x"); panic("oh") },
	"a panic after a flush": func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		panic("oh")
	},
	"broken off": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"broken off in a length": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "x")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	},
	"what writing says": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		n, err := io.WriteString(w, strings.Repeat("x", 101))
		m, again := io.WriteString(w, "x")
		w.Header().Set("X-Unseen", "1")
		_ = fmt.Sprint(n, err, m, again)
	},
	"the request": func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		names := slices.Sorted(maps.Keys(r.Header))
		fmt.Fprint(w, r.Method, r.URL, r.Host, r.Proto, r.RequestURI, r.ContentLength, r.TransferEncoding, r.Trailer, r.Close, names, r.Header["Content-Length"], string(body), err, r.TLS, r.URL.User, r.Form == nil, r.Pattern)
	},
	"reading after Close": func(w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, errors.Is(err, http.ErrBodyReadAfterClose) || err == io.EOF)
	},
	"an answer of its own": func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err == nil {
			defer conn.Close()
			rw.WriteString("HTTP/1.1 201 Mine\r\nContent-Length: 2\r\nX-A: 1\r\nDate: now\r\n\r\nhi")
			rw.Flush()
		}
	},
	"an answer of its own, cut short": func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			defer conn.Close()
			io.WriteString(conn, "HTTP/1.1 201 Mine\r\nContent-Length: 5\r\nDate: now\r\n\r\nhi")
		}
	},
	"the head by the server, the rest of its own": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-A", "1")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", "4")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "hi")
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			defer conn.Close()
			io.WriteString(conn, "ho")
		}
	},
	"no answer of its own": func(w http.ResponseWriter, _ *http.Request) {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			conn.Close()
		}
	},
	"the controller": func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		fmt.Fprint(w, c.EnableFullDuplex(), " ", c.Flush(), " ")
		_, isFlusher := w.(http.Flusher)
		_, isString := w.(io.StringWriter)
		fmt.Fprint(w, isFlusher, isString)
	},
}

// Whatever a handler does, its answer is the one that net/http's server gives.
func TestHandler_answersAsTheServerOfNetHTTP(t *testing.T) {
	t.Parallel()
	pool, err := parley.NewPool(parley.PoolConfig{})
	require.NoError(t, err)
	t.Cleanup(func() { pool.Close() })
	requests := map[string]func(base string) (*parley.Request, error){
		"GET":  func(base string) (*parley.Request, error) { return parley.NewRequest("GET", base+"/a%2Fb?q=1") },
		"HEAD": func(base string) (*parley.Request, error) { return parley.NewRequest("HEAD", base+"/x") },
		"POST": func(base string) (*parley.Request, error) {
			return parley.NewRequest("POST", base+"/x", parley.WithText("body"), parley.WithHeader("X-B", "1"))
		},
		"POST in chunks": func(base string) (*parley.Request, error) {
			return parley.NewRequest("POST", base+"/x", parley.WithReader(io.MultiReader(strings.NewReader("body"))), parley.WithTrailer("X-T", func() string { return "t" }))
		},
		"POST of nothing": func(base string) (*parley.Request, error) { return parley.NewRequest("POST", base+"/x") },
		"OPTIONS": func(base string) (*parley.Request, error) {
			return parley.NewRequest("OPTIONS", base+"/", parley.WithTarget("*"))
		},
		"closing": func(base string) (*parley.Request, error) {
			return parley.NewRequest("GET", base+"/x", parley.WithHeader("Connection", "close"))
		},
	}
	for name, answers := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if name != "the request" && name != "reading after Close" {
					io.Copy(io.Discard, r.Body) // or net/http might cut the connection off
				}
				answers(w, r)
			})
			s := httptest.NewUnstartedServer(handler)
			s.Config.DisableGeneralOptionsHandler = true
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.Start()
			t.Cleanup(s.Close)
			host := strings.TrimPrefix(s.URL, "http://")
			for kind, make := range requests {
				if kind == "HEAD" && (name == "a length that is none" || name == "a length below zero") {
					continue // which net/http sends as it is
				}
				req, err := make("http://" + host)
				require.NoError(t, err)
				// A connection that its handler is about to close is not for another POST.
				pool.CloseIdle()
				want := answerOf(t, pool, req)
				req, err = make("http://" + host)
				require.NoError(t, err)
				got := answerOf(t, parley.HandlerTransport(handler), req)
				if want.Failed && want.Status == "" && got.Failed { // a reset may overtake the head
					got = fullAnswer{Failed: true, Network: got.Network, Told: got.Told}
				}
				require.Equal(t, want, got, kind)
			}
		})
	}
}
