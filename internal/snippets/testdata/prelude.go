// Package page has what the snippets on the project's pages take for granted.
package page

import (
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/seed-0474a412/parley"
)

var (
	ctx    context.Context
	t      *testing.T
	err    error
	client *parley.Client
	req    *parley.Request
	resp   *parley.Response
	jar    *parley.Jar
	status *parley.StatusError
	fault  *parley.Error

	base, path, id, key, name, token, user, password, query, text string

	data  []byte
	r     io.Reader
	w     io.Writer
	mux   *http.ServeMux
	n     int
	v     any
	value any
)

// User is what most snippets send and get.
type User struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}

var u User
