package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
)

// chatError is how the API of the example tells of its failures, in answers of status 200.
type chatError struct{ Code string }

func (e *chatError) Error() string { return "chat: " + e.Code }

func ExampleRemote() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var fields struct{ Token, User string }
		json.NewDecoder(r.Body).Decode(&fields)
		switch {
		case fields.Token != "t0k3n":
			io.WriteString(w, `{"ok":false,"error":"not_authed"}`)
		case r.URL.Path == "/api/users.info":
			fmt.Fprintf(w, `{"ok":true,"user":{"id":%q,"name":"Ada"}}`, fields.User)
		default:
			io.WriteString(w, `{"ok":false,"error":"unknown_method"}`)
		}
	}))
	defer server.Close()
	client, err := parley.New(parley.WithBaseURL(server.URL))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	type status struct {
		OK    bool
		Error string
	}
	chat := api.NewRemote(client, "api",
		api.WithDefaultFields(map[string]any{"token": "t0k3n"}),
		api.WithResultCheck(func(s status) error {
			if !s.OK {
				return &chatError{s.Error}
			}
			return nil
		}))
	type info struct{ User struct{ ID, Name string } }
	ctx := context.Background()
	found, err := api.Call[info](ctx, chat, "users.info", map[string]any{"user": "U7"})
	fmt.Println(found.User.Name, err)

	_, err = chat.Call(ctx, "users.info", map[string]any{"token": "wrong"}) // the call's field wins
	var failure *chatError
	fmt.Println(errors.As(err, &failure), failure.Code)
	// Output:
	// Ada <nil>
	// true not_authed
}
