package parleytest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
)

// The handlers of this file are answers for a Mock and for servers alike. They read the
// request to its end before they answer, so that its body is in the history, and may be
// used for any number of requests at once.

// Status answers with a status and no content.
func Status(code int) http.Handler { return Bytes(code, "", nil) }

// Text answers with plain text.
func Text(code int, text string) http.Handler {
	return Bytes(code, "text/plain; charset=utf-8", []byte(text))
}

// JSON answers with v as JSON, as it is now. A v that cannot be encoded fails the calls
// of a [Mock], and is 500 from a server.
func JSON(code int, v any) http.Handler {
	b, err := json.Marshal(v)
	if err != nil {
		return unable(fmt.Errorf("parleytest: JSON(%d, %T): %w", code, v, err))
	}
	return Bytes(code, "application/json", b)
}

// Bytes answers with content of a type, "" for none. The content must not be changed
// afterwards.
func Bytes(code int, contentType string, content []byte) http.Handler {
	if code < 200 || code > 999 {
		return unable(fmt.Errorf("parleytest: %d is not the status of an answer", code))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		readAll(r)
		if contentType != "" {
			w.Header().Set("Content-Type", contentType)
		}
		if code != http.StatusNoContent && code != http.StatusNotModified {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		}
		w.WriteHeader(code)
		if r.Method != http.MethodHead && len(content) > 0 {
			_, _ = w.Write(content) // fails if the client is gone
		}
	})
}

// File answers with the content of a file, its type by its name, as [http.ServeContent]
// does: ranges and conditions too. A file that cannot be read fails the calls of a [Mock],
// and is 500 from a server.
func File(path string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		readAll(r)
		f, err := os.Open(path)
		if err != nil {
			unable(err).ServeHTTP(w, r)
			return
		}
		defer f.Close() // it was only read
		info, err := f.Stat()
		if err == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%s is not a regular file", path)
		}
		if err != nil {
			unable(err).ServeHTTP(w, r)
			return
		}
		http.ServeContent(w, r, info.Name(), info.ModTime(), f)
	})
}

// unable says that an answer cannot be given.
func unable(err error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a, ok := r.Context().Value(answeringKey{}).(*answering); ok {
			a.breakOff(faultOf(err))
		}
		http.Error(w, err.Error(), http.StatusInternalServerError)
	})
}

// WithHeader gives the answer of h with one more line of a header, as in
// WithHeader("Retry-After", "1", Status(503)).
func WithHeader(name, value string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add(name, value)
		h.ServeHTTP(w, r)
	})
}

// Sequence gives the answer of the first handler to the first request, of the next to the
// next, and of the last to all that follow. Without handlers it answers 200 without content.
func Sequence(handlers ...http.Handler) http.Handler {
	var n atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(handlers) == 0 {
			Status(http.StatusOK).ServeHTTP(w, r)
			return
		}
		handlers[min(n.Add(1), int64(len(handlers)))-1].ServeHTTP(w, r)
	})
}

// Echo answers with the content of the request and its type, while it comes.
func Echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex() // HTTP/2 has no need of it and says so
		if typ := r.Header.Get("Content-Type"); typ != "" {
			w.Header().Set("Content-Type", typ)
		}
		if r.ContentLength >= 0 {
			w.Header().Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
		}
		if _, err := io.Copy(flushing{w, control}, r.Body); err != nil {
			panic(http.ErrAbortHandler) // half an answer must not look like a whole one
		}
	})
}

// flushing sends what is written at once.
type flushing struct {
	io.Writer
	control *http.ResponseController
}

func (f flushing) Write(p []byte) (int, error) {
	n, err := f.Writer.Write(p)
	if err == nil {
		err = f.control.Flush()
	}
	return n, err
}
