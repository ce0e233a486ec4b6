package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/api"
	"github.com/seed-0474a412/parley/internal/wiretest"
)

// bindSession is a session to a server whose requests bear nothing of parley's own.
func bindSession(t testing.TB, base string, opts ...parley.ClientOption) *parley.Client {
	t.Helper()
	opts = append([]parley.ClientOption{
		parley.WithBaseURL(base), parley.WithEnv(false),
		parley.WithoutHeader("User-Agent"), parley.WithoutHeader("Accept"), parley.WithDecompression(false),
	}, opts...)
	c, err := parley.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

// bound is Bind for a declaration that is right.
func bound[T any](t testing.TB, c *parley.Client, opts ...api.BindOption) *T {
	t.Helper()
	v, err := api.Bind[T](c, opts...)
	require.NoError(t, err)
	return v
}

type bindLevel int

func (l bindLevel) String() string { return [...]string{"low", "high"}[l] }

type bindPoint struct{ X, Y int }

func (p *bindPoint) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%d,%d", p.X, p.Y), nil }

type bindPaging struct {
	Page int      `url:"page,omitempty"`
	Sort []string `url:"sort,omitempty"`
}

type bindNote struct {
	Title string `json:"title" xml:"title" url:"title"`
	Text  string `json:"text,omitempty" xml:"text,omitempty" url:"text,omitempty"`
}

func bindPtr[T any](v T) *T { return &v }

// Declarations that several cases of the table have in common.
type (
	bindNoArgs = struct {
		Do func(context.Context) error `http:"GET users"`
	}
	bindQueryDecl = struct {
		Do func(context.Context, any) error `http:"GET x" args:"query:q"`
	}
	bindQueryAllDecl = struct {
		Do func(context.Context, any) error `http:"GET x" args:"query"`
	}
	bindHeaderDecl = struct {
		Do func(context.Context, any) error `http:"GET x" args:"header:X-A"`
	}
	bindBodyDecl = struct {
		Do func(context.Context, any) error `http:"POST x" args:"body"`
	}
	bindFormDecl = struct {
		Do func(context.Context, any, string) error `http:"POST x" args:"form, form:z"`
	}
	bindFieldDecl = struct {
		Do func(context.Context, any, any) error `http:"POST x" args:"field:user.name, field:user.age"`
	}
	bindFieldAllDecl = struct {
		Do func(context.Context, any, int) error `http:"POST x" args:"field, field:meta.n"`
	}
)

func TestBind_sendsWhatIsDeclared(t *testing.T) {
	moment := time.Date(2026, 5, 4, 3, 2, 1, 500, time.UTC)
	ctx := t.Context()
	tests := []struct {
		name string
		call func(c *parley.Client) error
		want string // request line, headers and body
	}{
		{"a template without variables", func(c *parley.Client) error { return bound[bindNoArgs](t, c).Do(ctx) }, "GET /v1/users\n\n"},
		{"variables by their order", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, int) error `http:"GET users/{user}/items/{id}"`
			}](t, c).Do(ctx, "a/b c", 7)
		}, "GET /v1/users/a%2Fb%20c/items/7\n\n"},
		{"variables by their names", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, int, string) error `http:"GET users/{user}/items/{id}" args:"id, path:user"`
			}](t, c).Do(ctx, 7, "?#%")
		}, "GET /v1/users/%3F%23%25/items/7\n\n"},
		{"all kinds of values in a path", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, bool, float64, time.Time, bindLevel, bindPoint, *bindPoint, uint8) error `http:"GET {a}/{b}/{c}/{d}/{e}/{f}/{g}"`
			}](t, c).Do(ctx, true, 1.5, moment, 1, bindPoint{1, 2}, &bindPoint{3, 4}, 9)
		}, "GET /v1/true/1.5/2026-05-04T03%3A02%3A01.0000005Z/high/1%2C2/3%2C4/9\n\n"},
		{"operators", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, []string, string, map[string]int, *string, []int) error `http:"GET a/{+path}{/more*}{.ext}{?q*,page,ids}"`
			}](t, c).Do(ctx, "b/c?d", []string{"e", "f/g"}, "txt", map[string]int{"y": 2, "x": 1}, nil, []int{1, 2})
		}, "GET /v1/a/b/c%3Fd/e/f%2Fg.txt?x=1&y=2&ids=1,2\n\n"},
		{"a length", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string) error `http:"GET {x:1}/{x}"`
			}](t, c).Do(ctx, "éa")
		}, "GET /v1/%C3%A9/%C3%A9a\n\n"},
		{"what is nil is left out of a template", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, *int, []string, map[string]string, any) error `http:"GET a{/id}{/tags*}{?m*,x}"`
			}](t, c).Do(ctx, nil, nil, nil, nil)
		}, "GET /v1/a\n\n"},
		{"a query that another parameter begins", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, *int, int) error `http:"GET a{?x}{&y}"`
			}](t, c).Do(ctx, nil, 1)
		}, "GET /v1/a?y=1\n\n"},
		{"no template: the base", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context) error `http:"GET"`
			}](t, c).Do(ctx)
		}, "GET /v1\n\n"},
		{"a method of one's own", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string) error `http:"PURGE cache/{key}"`
			}](t, c).Do(ctx, "k")
		}, "PURGE /v1/cache/k\n\n"},

		{"a parameter", func(c *parley.Client) error { return bound[bindQueryDecl](t, c).Do(ctx, "a b&c") }, "GET /v1/x?q=a+b%26c\n\n"},
		{"a parameter of several values", func(c *parley.Client) error { return bound[bindQueryDecl](t, c).Do(ctx, []bindLevel{0, 1}) }, "GET /v1/x?q=low&q=high\n\n"},
		{"a parameter of values of any type", func(c *parley.Client) error {
			return bound[bindQueryDecl](t, c).Do(ctx, []any{1, nil, "a", true, bindPtr(bindLevel(1)), &bindPoint{1, 2}})
		}, "GET /v1/x?q=1&q=a&q=true&q=high&q=1%2C2\n\n"},
		{"a parameter that is nil", func(c *parley.Client) error { return bound[bindQueryDecl](t, c).Do(ctx, (*int)(nil)) }, "GET /v1/x\n\n"},
		{"a parameter by pointer", func(c *parley.Client) error { return bound[bindQueryDecl](t, c).Do(ctx, bindPtr(bindPtr(3))) }, "GET /v1/x?q=3\n\n"},
		{"a parameter of bytes", func(c *parley.Client) error { return bound[bindQueryDecl](t, c).Do(ctx, []byte("ab")) }, "GET /v1/x?q=ab\n\n"},
		{"numbers as JSON writes them", func(c *parley.Client) error {
			return bound[bindQueryDecl](t, c).Do(ctx, []float64{1e6, 1e-9, 2.50})
		}, "GET /v1/x?q=1000000&q=1e-09&q=2.5\n\n"},
		{"a duration", func(c *parley.Client) error { return bound[bindQueryDecl](t, c).Do(ctx, 90*time.Second) }, "GET /v1/x?q=1m30s\n\n"},
		{"parameters of a struct", func(c *parley.Client) error {
			return bound[bindQueryAllDecl](t, c).Do(ctx, bindPaging{Page: 2, Sort: []string{"a", "b"}})
		}, "GET /v1/x?page=2&sort=a&sort=b\n\n"},
		{"parameters of a map", func(c *parley.Client) error {
			return bound[bindQueryAllDecl](t, c).Do(ctx, map[string]any{"b": 1, "a": []string{"x"}, "c": nil})
		}, "GET /v1/x?a=x&b=1\n\n"},
		{"parameters in their order", func(c *parley.Client) error {
			return bound[bindQueryAllDecl](t, c).Do(ctx, parley.Params{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}})
		}, "GET /v1/x?b=1&a=2\n\n"},
		{"a struct after the variables of a GET is its query", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, *bindPaging) error `http:"GET users/{user}"`
			}](t, c).Do(ctx, "ada", &bindPaging{Page: 3})
		}, "GET /v1/users/ada?page=3\n\n"},
		{"url.Values after the variables, nil", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, url.Values) error `http:"DELETE users/{user}"`
			}](t, c).Do(ctx, "ada", nil)
		}, "DELETE /v1/users/ada\n\n"},
		{"what a template says stays before parameters", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, int) error `http:"GET x?type=all" args:"query:page" query:"sort=a+b&page=1"`
			}](t, c).Do(ctx, 4)
		}, "GET /v1/x?type=all&sort=a+b&page=4\n\n"},

		{"a header", func(c *parley.Client) error { return bound[bindHeaderDecl](t, c).Do(ctx, 5) }, "GET /v1/x\nX-A: 5\n\n"},
		{"a header of several values", func(c *parley.Client) error { return bound[bindHeaderDecl](t, c).Do(ctx, []string{"a", "b"}) }, "GET /v1/x\nX-A: a\nX-A: b\n\n"},
		{"a header that is nil", func(c *parley.Client) error { return bound[bindHeaderDecl](t, c).Do(ctx, nil) }, "GET /v1/x\n\n"},
		{"headers", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, http.Header, map[string]any) error `http:"GET x" args:"header, header"`
			}](t, c).Do(ctx, http.Header{"X-B": {"1", "2"}}, map[string]any{"x-a": 3, "X-C": nil})
		}, "GET /v1/x\nX-A: 3\nX-B: 1\nX-B: 2\n\n"},
		{"headers of the declaration", func(c *parley.Client) error {
			return bound[struct {
				_  struct{}                            `header:"X-A: 1\nX-B: from the struct"`
				Do func(context.Context, string) error `http:"GET x" args:"header:X-C" header:"x-b: from the function"`
			}](t, c).Do(ctx, "given")
		}, "GET /v1/x\nX-A: 1\nX-B: from the function\nX-C: given\n\n"},
		{"an argument replaces a header of the declaration", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, *string) error `http:"GET x" args:"header:accept" header:"Accept: text/plain"`
			}](t, c).Do(ctx, bindPtr("text/html"))
		}, "GET /v1/x\nAccept: text/html\n\n"},
		{"cookies", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, *http.Cookie, *string) error `http:"GET x" args:"cookie:a, cookie, cookie:c"`
			}](t, c).Do(ctx, "1", &http.Cookie{Name: "b", Value: "2"}, nil)
		}, "GET /v1/x\nCookie: a=1; b=2\n\n"},
		{"who asks", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string) error `http:"GET x" args:"auth:bearer"`
			}](t, c).Do(ctx, "t0ken")
		}, "GET /v1/x\nAuthorization: Bearer t0ken\n\n"},
		{"who asks, by an Auth", func(c *parley.Client) error {
			auth, err := parley.BasicAuth("u", "p")
			require.NoError(t, err)
			return bound[struct {
				Do func(context.Context, parley.Auth, time.Duration) error `http:"GET x" args:"auth, timeout"`
			}](t, c).Do(ctx, auth, time.Minute)
		}, "GET /v1/x\nAuthorization: Basic dTpw\n\n"},
		{"options, the last word", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, ...parley.RequestOption) error `http:"GET x" args:"header:X-A"`
			}](t, c).Do(ctx, "1", parley.WithHeader("X-A", "2"), parley.WithQuery("q", "3"))
		}, "GET /v1/x?q=3\nX-A: 2\n\n"},
		{"options by their types", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, parley.Option, []parley.Option, parley.RequestOption, string) error `http:"GET x/{y}"`
			}](t, c).Do(ctx, parley.WithQuery("a", "1"), []parley.Option{parley.WithQuery("b", "2")}, nil, "z")
		}, "GET /v1/x/z?a=1&b=2\n\n"},

		{"a body as JSON", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, bindNote{Title: "<a>"}) },
			"POST /v1/x\nContent-Length: 15\nContent-Type: application/json\n\n{\"title\":\"<a>\"}"},
		{"a body after the variables of a PUT", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, int, *bindNote, parley.RequestOption) error `http:"PUT notes/{id}"`
			}](t, c).Do(ctx, 1, &bindNote{Title: "a"}, parley.WithHeader("If-Match", `"1"`))
		}, "PUT /v1/notes/1\nContent-Length: 13\nContent-Type: application/json\nIf-Match: \"1\"\n\n{\"title\":\"a\"}"},
		{"a body that is nil", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, (*bindNote)(nil)) }, "POST /v1/x\nContent-Length: 0\n\n"},
		{"a slice that is nil", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, []int(nil)) }, "POST /v1/x\nContent-Length: 0\n\n"},
		{"an empty slice is a JSON array", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, []int{}) },
			"POST /v1/x\nContent-Length: 2\nContent-Type: application/json\n\n[]"},
		{"a body of bytes", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, []byte("raw")) }, "POST /v1/x\nContent-Length: 3\n\nraw"},
		{"JSON that is there already", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, json.RawMessage(`{"a": 1}`)) },
			"POST /v1/x\nContent-Length: 7\nContent-Type: application/json\n\n{\"a\":1}"},
		{"a body of text", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, "grüße") },
			"POST /v1/x\nContent-Length: 7\nContent-Type: text/plain; charset=utf-8\n\ngrüße"},
		{"a body of a reader", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, strings.NewReader("read")) }, "POST /v1/x\nContent-Length: 4\n\nread"},
		{"a body of one's own", func(c *parley.Client) error {
			return bound[bindBodyDecl](t, c).Do(ctx, parley.BytesBody([]byte("own"), "x/y"))
		}, "POST /v1/x\nContent-Length: 3\nContent-Type: x/y\n\nown"},
		{"a body of lines", func(c *parley.Client) error { return bound[bindBodyDecl](t, c).Do(ctx, slices.Values([]int{1, 2})) },
			"POST /v1/x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\n1\n2\n"},
		{"a body of lines that can fail", func(c *parley.Client) error {
			return bound[bindBodyDecl](t, c).Do(ctx, iter.Seq2[string, error](func(yield func(string, error) bool) { yield("a", nil) }))
		}, "POST /v1/x\nContent-Type: application/x-ndjson\nTransfer-Encoding: chunked\n\n\"a\"\n"},
		{"a body in another format", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, bindNote) error `http:"POST x" args:"body:form"`
			}](t, c).Do(ctx, bindNote{Title: "a b"})
		}, "POST /v1/x\nContent-Length: 9\nContent-Type: application/x-www-form-urlencoded\n\ntitle=a+b"},
		{"a body of a type of JSON", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, bindNote) error `http:"PATCH x" args:"body:application/merge-patch+json"`
			}](t, c).Do(ctx, bindNote{Title: "a"})
		}, "PATCH /v1/x\nContent-Length: 13\nContent-Type: application/merge-patch+json\n\n{\"title\":\"a\"}"},
		{"a raw body with its type", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, io.Reader) error `http:"PUT x" args:"body:image/png"`
			}](t, c).Do(ctx, strings.NewReader("png"))
		}, "PUT /v1/x\nContent-Length: 3\nContent-Type: image/png\n\npng"},
		{"XML for all bodies of a struct", func(c *parley.Client) error {
			return bound[struct {
				_  struct{}                              `body:"xml"`
				Do func(context.Context, bindNote) error `http:"PUT x"`
			}](t, c).Do(ctx, bindNote{Title: "a"})
		}, "PUT /v1/x\nContent-Length: 76\nContent-Type: application/xml; charset=utf-8\n\n<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<bindNote><title>a</title></bindNote>"},

		{"a form", func(c *parley.Client) error { return bound[bindFormDecl](t, c).Do(ctx, bindNote{Title: "a&b"}, "é") },
			"POST /v1/x\nContent-Length: 20\nContent-Type: application/x-www-form-urlencoded\n\ntitle=a%26b&z=%C3%A9"},
		{"fields within objects", func(c *parley.Client) error { return bound[bindFieldDecl](t, c).Do(ctx, "Ada", 36) },
			"POST /v1/x\nContent-Length: 32\nContent-Type: application/json\n\n{\"user\":{\"age\":36,\"name\":\"Ada\"}}"},
		{"a field that is nil", func(c *parley.Client) error { return bound[bindFieldDecl](t, c).Do(ctx, "Ada", nil) },
			"POST /v1/x\nContent-Length: 23\nContent-Type: application/json\n\n{\"user\":{\"name\":\"Ada\"}}"},
		{"no field at all", func(c *parley.Client) error { return bound[bindFieldDecl](t, c).Do(ctx, nil, nil) },
			"POST /v1/x\nContent-Length: 2\nContent-Type: application/json\n\n{}"},
		{"fields of a struct with another beside", func(c *parley.Client) error { return bound[bindFieldAllDecl](t, c).Do(ctx, bindNote{Title: "<"}, 1) },
			"POST /v1/x\nContent-Length: 28\nContent-Type: application/json\n\n{\"meta\":{\"n\":1},\"title\":\"<\"}"},
		{"a field within a member of a map", func(c *parley.Client) error {
			return bound[bindFieldAllDecl](t, c).Do(ctx, map[string]any{"meta": map[string]int{"m": 2}}, 1)
		}, "POST /v1/x\nContent-Length: 22\nContent-Type: application/json\n\n{\"meta\":{\"m\":2,\"n\":1}}"},

		{"the URL", func(c *parley.Client) error {
			return bound[struct {
				Do func(context.Context, string, int) error `http:"GET" args:"url, query:page"`
			}](t, c).Do(ctx, "other?x=1", 2)
		}, "GET /v1/other?x=1&page=2\n\n"},
		{"the whole URL", func(c *parley.Client) error {
			u := c.BaseURL()
			u.Path, u.RawQuery = "/elsewhere", "page=2"
			return bound[struct {
				_  struct{}                              `base:"unused"`
				Do func(context.Context, *url.URL) error `http:"GET" args:"url"`
			}](t, c).Do(ctx, u)
		}, "GET /elsewhere?page=2\n\n"},
		{"a base for a struct", func(c *parley.Client) error {
			return bound[struct {
				_  struct{}                    `base:"/v3/" query:"k=1"`
				Do func(context.Context) error `http:"GET /users"`
			}](t, c).Do(ctx)
		}, "GET /v1/v3/users?k=1\n\n"},
		{"a group with a variable in its base", func(c *parley.Client) error {
			return bound[struct {
				Issues struct {
					Get func(context.Context, string, int) error `http:"GET {number}"`
				} `base:"repos/{repo}/issues" header:"X-G: 1"`
			}](t, c).Issues.Get(ctx, "a/b", 5)
		}, "GET /v1/repos/a%2Fb/issues/5\nX-G: 1\n\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := wiretest.Serve(t, wiretest.Echo())
			require.NoError(t, test.call(bindSession(t, s.URL()+"/v1")))
			require.Equal(t, test.want, bindPlainText(t, s))
		})
	}
}

// bindPlainText gives the one request that a server has received: its line without the
// version, its headers but for Host in their order, and its body without chunks.
func bindPlainText(t *testing.T, s *wiretest.Server) string {
	t.Helper()
	require.Len(t, s.Received(), 1)
	head, body, ok := strings.Cut(s.Text(), "\r\n\r\n")
	require.True(t, ok)
	lines := strings.Split(head, "\r\n")
	lines[0] = strings.TrimSuffix(lines[0], " HTTP/1.1")
	require.True(t, strings.HasPrefix(lines[1], "Host: "))
	lines = slices.Delete(lines, 1, 2)
	slices.Sort(lines[1:])
	if slices.Contains(lines, "Transfer-Encoding: chunked") {
		var plain strings.Builder
		for rest := body; rest != ""; {
			var n int
			size, after, _ := strings.Cut(rest, "\r\n")
			_, err := fmt.Sscanf(size, "%x", &n)
			require.NoError(t, err)
			plain.WriteString(after[:n])
			rest = after[n+2:]
		}
		body = plain.String()
	}
	return strings.Join(lines, "\n") + "\n\n" + body
}

func TestBind_sendsParts(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cat.txt")
	require.NoError(t, os.WriteFile(path, []byte("meow"), 0o600))
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	type upload struct {
		Do func(ctx context.Context, title string, tags []string, n *int, photo *os.File, data []byte, r io.Reader, meta bindNote, extra map[string]int, loose []any, parts ...parley.Part) error `http:"POST up" args:"part:title, part:tag, part:n, part:photo, part:data, part:r, part:meta, part, part:loose, part:more"`
	}
	var got []string
	c := bindSession(t, "http://api.test", parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for {
			p, err := parts.NextPart()
			if err != nil {
				break
			}
			content, _ := io.ReadAll(p)
			got = append(got, p.FormName()+"|"+p.FileName()+"|"+p.Header.Get("Content-Type")+"|"+string(content))
		}
	})))
	err = bound[upload](t, c).Do(t.Context(), "Tom", []string{"a", "b"}, nil, file, []byte("raw"), strings.NewReader("read"), bindNote{Title: "x"},
		map[string]int{"z": 1}, []any{1, []byte("bytes"), nil, parley.BytesBody([]byte("own"), "x/y")}, parley.FormField("", "unnamed"), parley.FormBytes("own", "o.bin", nil))
	require.NoError(t, err)
	require.Equal(t, []string{
		"title|||Tom", "tag|||a", "tag|||b", "photo|cat.txt|text/plain|meow", "data|data|text/plain|raw",
		"r|r|text/plain|read", `meta||application/json|{"title":"x"}`, "z|||1", "loose|||1", "loose|loose|text/plain|bytes", "loose||x/y|own", "more|||unnamed", "own|o.bin|application/octet-stream|",
	}, got)
}

func TestBind_convertersAreForMediaTypesAndForTypes(t *testing.T) {
	type temperature float64
	type shape struct{ Sides int }
	type declaration struct {
		_    struct{}                                                                    `body:"application/x-upper"`
		Send func(ctx context.Context, v map[string]string) (map[string]string, error)   `http:"POST echo"`
		JSON func(ctx context.Context, v bindNote) (*bindNote, error)                    `http:"POST echo" args:"body:json"`
		At   func(ctx context.Context, t temperature, all []temperature) (string, error) `http:"GET at/{t}{?all*}"`
		Draw func(ctx context.Context, s shape) (shape, error)                           `http:"POST echo"`
	}
	c := bindSession(t, "http://api.test", parley.WithHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Type", "text/plain")
			io.WriteString(w, r.URL.RequestURI())
			return
		}
		io.Copy(w, r.Body)
	})), parley.WithDecoder("application/x-upper", func(r io.Reader, v any) error {
		b, err := io.ReadAll(r)
		if err == nil {
			err = json.Unmarshal(bytes.ToLower(b), v)
		}
		return err
	}))
	v := bound[declaration](t, c,
		api.BindEncoder("application/X-Upper", func(v any) ([]byte, error) {
			b, err := json.Marshal(v)
			return bytes.ToUpper(b), err
		}),
		api.BindEncoder("application/json", func(v any) ([]byte, error) {
			if v.(bindNote).Title == "" {
				return nil, errors.New("no title")
			}
			return json.Marshal(v)
		}),
		api.BindText(func(t temperature) (string, error) {
			if t < -273.15 {
				return "", errors.New("too cold")
			}
			return fmt.Sprintf("%gC", float64(t)), nil
		}),
		api.BindBody(func(s shape) (parley.Body, error) {
			return parley.BytesBody([]byte(strings.Repeat("/", s.Sides)), "x/shape"), nil
		}),
		api.BindResult(func(resp *parley.Response) (shape, error) {
			s, err := resp.Text()
			return shape{len(s)}, err
		}),
	)
	got, err := v.Send(t.Context(), map[string]string{"a": "b"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"a": "b"}, got)

	n, err := v.JSON(t.Context(), bindNote{Title: "t"})
	require.NoError(t, err)
	require.Equal(t, &bindNote{Title: "t"}, n)
	_, err = v.JSON(t.Context(), bindNote{})
	require.ErrorContains(t, err, "encode api_test.bindNote as application/json: no title")

	s, err := v.At(t.Context(), 20.5, []temperature{1, 2})
	require.NoError(t, err)
	require.Equal(t, "/at/20.5C?all=1C&all=2C", s)
	_, err = v.At(t.Context(), -300, nil)
	require.ErrorContains(t, err, "variable {t}: too cold")
	var failed *parley.Error
	require.ErrorAs(t, err, &failed)
	require.Equal(t, parley.NotSent, failed.Sent)

	drawn, err := v.Draw(t.Context(), shape{4})
	require.NoError(t, err)
	require.Equal(t, shape{4}, drawn)
}

func TestBind_optionsAreForAllForGroupsAndForFunctions(t *testing.T) {
	type users struct {
		Get  func(ctx context.Context, id int) error `http:"GET {id}"`
		List func(ctx context.Context) error         `http:"GET /"`
	}
	type Embedded struct {
		Ping func(ctx context.Context) error `http:"HEAD ping"`
	}
	type declaration struct {
		Embedded
		Users  *users                          `base:"users"`
		Health func(ctx context.Context) error `http:"GET health" timeout:"1m"`
		Notes  string                          // no business of Bind
		Own    func()                          `http:"-"`
	}
	var seen []string
	c := bindSession(t, "http://api.test/v1", parley.WithHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Method+" "+r.URL.Path+" "+strings.Join(slices.Sorted(maps.Keys(r.Header)), ","))
	})))
	var routes []string
	look := func(next parley.Transport) parley.Transport {
		return parley.TransportFunc(func(ctx context.Context, req *parley.Request) (*parley.Response, error) {
			routes = append(routes, req.Route()+" "+req.Timeouts.Total.String())
			return next.Send(ctx, req)
		})
	}
	v := bound[declaration](t, c,
		api.BindOptions(parley.WithHeader("X-All", "1"), parley.WithTimeout(time.Hour), parley.WithRequestMiddleware(look)),
		api.BindMethod("Users", parley.WithHeader("X-Group", "1")),
		api.BindMethod("Users.Get", parley.WithHeader("X-Get", "1"), parley.WithTimeout(time.Second*30)),
		api.BindMethod("Ping", parley.WithoutHeader("X-All")),
	)
	require.NoError(t, v.Users.Get(t.Context(), 1))
	require.NoError(t, v.Users.List(t.Context()))
	require.NoError(t, v.Health(t.Context()))
	require.NoError(t, v.Ping(t.Context()))
	require.Nil(t, v.Own)
	require.Equal(t, []string{
		"GET /v1/users/1 X-All,X-Get,X-Group", "GET /v1/users/ X-All,X-Group", "GET /v1/health X-All", "HEAD /v1/ping ",
	}, seen)
	require.Equal(t, []string{"/v1/users/{id} 30s", "/v1/users/ 1h0m0s", "/v1/health 1m0s", "/v1/ping 1h0m0s"}, routes)
}

func TestBind_keepsWhatIsDeclaredForAllAtItsOrigin(t *testing.T) {
	type declaration struct {
		_      struct{}                                     `header:"X-Key: secret" query:"key=secret"`
		Follow func(ctx context.Context, link string) error `http:"GET" args:"url" header:"X-Own: 1"`
		Upload func(ctx context.Context, id int) error      `http:"GET https://uploads.test/{id}"`
		Home   func(ctx context.Context) error              `http:"GET home"`
	}
	var seen []string
	handler := parley.WithHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Host+r.URL.String()+" "+strings.Join(slices.Sorted(maps.Keys(r.Header)), ","))
	}))
	calls := func(c *parley.Client) []string {
		seen = nil
		v := bound[declaration](t, c, api.BindOptions(parley.WithBearerToken("secret"), parley.WithCookie("c", "secret")))
		require.NoError(t, v.Home(t.Context()))
		require.NoError(t, v.Follow(t.Context(), "https://evil.test/x"))
		require.NoError(t, v.Upload(t.Context(), 1))
		return seen
	}
	home := "api.test/home?key=secret Authorization,Cookie,X-Key"
	require.Equal(t, []string{home, "evil.test/x X-Own", "uploads.test/1 "}, calls(bindSession(t, "https://api.test", handler)))
	require.Equal(t, []string{home, "evil.test/x X-Own", "uploads.test/1?key=secret Authorization,Cookie,X-Key"},
		calls(bindSession(t, "https://api.test", handler, parley.WithTrustedOrigins("https://uploads.test"))))
}

// bindClosing is a reader that tells that it was closed.
type bindClosing struct {
	io.Reader
	closed *bool
}

func (c bindClosing) Close() error { *c.closed = true; return nil }

func TestBind_refusesValuesBeforeAnythingIsSent(t *testing.T) {
	type declaration struct {
		Get    func(ctx context.Context, id string, opts ...parley.RequestOption) error `http:"GET users/{id}/x"`
		File   func(ctx context.Context, path string) error                             `http:"GET /{+path}"`
		Up     func(ctx context.Context, id string, r io.ReadCloser) error              `http:"POST users/{id}" args:"id, body"`
		Header func(ctx context.Context, v string) error                                `http:"GET x" args:"header:X-A"`
		Any    func(ctx context.Context, v any) error                                   `http:"POST x"`
		Var    func(ctx context.Context, v any) error                                   `http:"GET x/{v}"`
		First  func(ctx context.Context, v any) error                                   `http:"GET x/{v:3}"`
		URL    func(ctx context.Context, u *url.URL) error                              `http:"GET" args:"url"`
		Events func(ctx context.Context, id string) iter.Seq2[parley.Event, error]      `http:"GET {id}"`
	}
	s := wiretest.Serve(t, wiretest.Echo())
	v := bound[declaration](t, bindSession(t, s.URL()+"/v1"))
	ctx := t.Context()
	var closed bool
	for name, err := range map[string]error{
		"an empty segment":                   v.Get(ctx, ""),
		"a dot":                              v.Get(ctx, "."),
		"two dots":                           v.Get(ctx, ".."),
		"a way up":                           v.File(ctx, "a/../../../etc"),
		"an escaped way up":                  v.File(ctx, "%2e%2e/%2e%2e/x"),
		"another host by two slashes":        v.File(ctx, "/evil.test/x"),
		"a template, whatever else there is": v.Up(ctx, "..", bindClosing{strings.NewReader(""), &closed}),
		"no URL":                             v.URL(ctx, nil),
	} {
		require.ErrorIs(t, err, parley.ErrInvalidURL, name)
		var failed *parley.Error
		require.ErrorAs(t, err, &failed, name)
		require.Equal(t, parley.NotSent, failed.Sent, name)
	}
	require.True(t, closed, "a reader that is not sent is closed")
	for range v.Events(ctx, "..") {
	}
	require.ErrorIs(t, v.Header(ctx, "a\r\nX-B: c"), parley.ErrInvalidHeader)
	require.ErrorContains(t, v.Any(ctx, make(chan int)), "which is no body")
	require.ErrorContains(t, v.Any(ctx, map[string]any{"a": func() {}}), "encode map[string]interface {} as JSON")
	require.ErrorContains(t, v.Var(ctx, []any{make(chan int)}), "a chan int is no single value")
	require.ErrorContains(t, v.Var(ctx, struct{ A int }{}), "no value for a template")
	require.ErrorContains(t, v.First(ctx, []string{"a"}), "no first characters")
	require.ErrorContains(t, v.Get(nil, "a"), "the context is nil") //nolint:staticcheck // what a mistake gives
	require.ErrorContains(t, v.Get(ctx, "a", nil), "an option is nil")
	require.Zero(t, s.Accepted())

	for i, value := range []string{"http://evil.test/", "evil.test:80", "a?b#c", `\evil.test`, "@evil.test"} {
		require.NoError(t, v.File(ctx, value))
		require.Len(t, s.Received(), 1, i)
	}
	require.Contains(t, s.Text(), "GET /v1/http://evil.test/ HTTP/1.1")
	require.Contains(t, s.Text(), "GET /v1/a%3Fb%23c HTTP/1.1")
	require.ErrorContains(t, v.Any(ctx, iter.Seq2[int, error](func(yield func(int, error) bool) { yield(0, errors.New("no more rows")) })), "no more rows")
}
