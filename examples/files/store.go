package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"
	"time"
)

// store is the server: it keeps files in memory, gives them out whole or in ranges, and
// says what their digest is.
type store struct {
	*http.ServeMux
	mu    sync.Mutex
	files map[string][]byte
	cut   bool // the next answer with a file ends in the middle
}

func newStore() *store {
	s := &store{ServeMux: http.NewServeMux(), files: map[string][]byte{}}
	s.HandleFunc("PUT /files/{name}", s.put)
	s.HandleFunc("POST /files", s.post)
	s.HandleFunc("GET /files/{name}", s.get)
	return s
}

// put takes one file, which may be in gzip, and says how many bytes came.
func (s *store) put(w http.ResponseWriter, r *http.Request) {
	arrived := &counter{r: r.Body}
	content, err := decoded(arrived, r.Header.Get("Content-Encoding"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.keep(r.PathValue("name"), content)
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, arrived.n)
}

func decoded(r io.Reader, coding string) ([]byte, error) {
	switch coding {
	case "":
		return io.ReadAll(r)
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, err
		}
		return io.ReadAll(z)
	}
	return nil, errors.New("unknown coding")
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// post takes the files of a form and says what there was, line by line.
func (s *store) post(w http.ResponseWriter, r *http.Request) {
	form, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	for {
		part, err := form.NextPart()
		if err == io.EOF {
			return
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(part)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if part.FileName() == "" {
			fmt.Fprintf(w, "field %s: %s\n", part.FormName(), content)
			continue
		}
		s.keep(part.FileName(), content)
		fmt.Fprintf(w, "file %s, %s: %d bytes\n", part.FileName(), part.Header.Get("Content-Type"), len(content))
	}
}

func (s *store) keep(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = content
}

// cutNext lets the next answer with a file end in the middle.
func (s *store) cutNext() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = true
}

// get gives a file, by which name to store it, and its digest.
func (s *store) get(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s.mu.Lock()
	content, ok := s.files[name]
	cut := s.cut
	s.cut = false
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	sum := sha256.Sum256(content)
	digest := base64.StdEncoding.EncodeToString(sum[:])
	w.Header().Set("Etag", `"`+digest+`"`)
	w.Header().Set("Repr-Digest", "sha-256=:"+digest+":")
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": strings.ToUpper(name)}))
	if cut {
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		if _, err := w.Write(content[:len(content)/2]); err == nil {
			_ = http.NewResponseController(w).Flush() // it ends here in any case
		}
		panic(http.ErrAbortHandler)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}
