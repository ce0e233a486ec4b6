// Package page has what the snippets on the project's pages take for granted.
package page

import (
	"context"

	"github.com/seed-0474a412/parley"
)

var (
	ctx    context.Context
	err    error
	client *parley.Client
	req    *parley.Request
	resp   *parley.Response

	path, id, key, token string

	u User
)

// User is what most snippets send and get.
type User struct {
	ID   int    `json:"id"`
	Name string `json:"name"`
}
