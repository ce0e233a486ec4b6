package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
)

// Repo is a repository, as the server and the programs that use it see it.
type Repo struct {
	Name    string `json:"name"`
	Stars   int    `json:"stars"`
	Private bool   `json:"private,omitempty"`
}

// server is a small part of what GitHub's API does: lists in pages, an entity tag for each
// repository, problem details for what goes wrong.
type server struct {
	mu    sync.Mutex
	repos []Repo
}

// serve starts the server. The caller closes it.
func serve() *httptest.Server {
	s := &server{repos: []Repo{{Name: "engine", Stars: 1843}, {Name: "notes", Stars: 1815}, {Name: "poems", Stars: 1852}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/users/{user}/repos", s.list)
	mux.HandleFunc("POST /api/users/{user}/repos", s.create)
	mux.HandleFunc("GET /api/repos/{user}/{name}", s.get)
	mux.HandleFunc("PUT /api/repos/{user}/{name}", s.put)
	return httptest.NewServer(mux)
}

func (s *server) list(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	page := max(atoi(r.FormValue("page")), 1)
	size := atoi(r.FormValue("per_page"))
	if size <= 0 {
		size = 30
	}
	first := min((page-1)*size, len(s.repos))
	last := min(first+size, len(s.repos))
	if last < len(s.repos) {
		w.Header().Set("Link", fmt.Sprintf(`<%s?per_page=%d&page=%d>; rel="next"`, r.URL.Path, size, page+1))
	}
	answer(w, http.StatusOK, s.repos[first:last])
}

func (s *server) create(w http.ResponseWriter, r *http.Request) {
	var repo Repo
	if err := json.NewDecoder(r.Body).Decode(&repo); err != nil || repo.Name == "" {
		refuse(w, http.StatusUnprocessableEntity, "a repository needs a name")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.find(repo.Name) >= 0 {
		refuse(w, http.StatusConflict, "there is one of that name: "+repo.Name)
		return
	}
	s.repos = append(s.repos, repo)
	w.Header().Set("Location", "/api/repos/"+r.PathValue("user")+"/"+repo.Name)
	answer(w, http.StatusCreated, repo)
}

func (s *server) get(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(r.PathValue("name"))
	if i < 0 {
		refuse(w, http.StatusNotFound, "there is no repository "+r.PathValue("name"))
		return
	}
	w.Header().Set("ETag", tag(s.repos[i]))
	answer(w, http.StatusOK, s.repos[i])
}

func (s *server) put(w http.ResponseWriter, r *http.Request) {
	var repo Repo
	if err := json.NewDecoder(r.Body).Decode(&repo); err != nil {
		refuse(w, http.StatusBadRequest, "the body is no repository")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.find(r.PathValue("name"))
	switch {
	case i < 0:
		refuse(w, http.StatusNotFound, "there is no repository "+r.PathValue("name"))
	case r.Header.Get("If-Match") != tag(s.repos[i]):
		refuse(w, http.StatusPreconditionFailed, "somebody has changed it")
	default:
		s.repos[i] = repo
		answer(w, http.StatusOK, repo)
	}
}

func (s *server) find(name string) int {
	return slices.IndexFunc(s.repos, func(r Repo) bool { return r.Name == name })
}

func tag(r Repo) string { return fmt.Sprintf(`"%s-%d-%t"`, r.Name, r.Stars, r.Private) }

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

// refuse answers with problem details (RFC 9457).
func refuse(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"title": http.StatusText(status), "status": status, "detail": detail})
}
