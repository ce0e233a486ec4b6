package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/seed-0474a412/parley"
)

// wrapperText prints a wrapper without what may be secret: user information, query and
// settings.
func wrapperText(name string, c *parley.Client, ref string) string {
	where := "?"
	if c != nil {
		if req, err := c.NewRequest(http.MethodPost, ref); err == nil {
			where = plainURL(req.URL)
		}
	}
	return "<" + name + " " + where + ">"
}

// plainURL gives a URL without what may be secret in it.
func plainURL(u *url.URL) string {
	plain := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	return plain.String()
}

// printText is the Format of what prints the same for all verbs.
func printText(s fmt.State, text string) {
	_, _ = io.WriteString(s, text) // fmt keeps the error of its writer
}

// String gives the URL without its query: <Resource https://api.example.com/users>.
func (r *Resource) String() string {
	u, err := r.URL()
	if err != nil {
		return "<Resource ?>"
	}
	return "<Resource " + plainURL(u) + ">"
}

// Format prints String for all verbs: there may be secrets in the options.
func (r *Resource) Format(s fmt.State, _ rune) { printText(s, r.String()) }

// LogValue logs String.
func (r *Resource) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String tells where the calls go to, without the query.
func (r *Remote) String() string {
	where, err := r.target("", "")
	if err != nil {
		where = r.url
	}
	return wrapperText("Remote", r.client, where)
}

// Format prints String for all verbs: there may be secrets in the options.
func (r *Remote) Format(s fmt.State, _ rune) { printText(s, r.String()) }

// LogValue logs String.
func (r *Remote) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String tells where the calls go to, without the query.
func (j *JSONRPC) String() string { return wrapperText("JSONRPC", j.client, j.url) }

// Format prints String for all verbs: there may be secrets in the options.
func (j *JSONRPC) Format(s fmt.State, _ rune) { printText(s, j.String()) }

// LogValue logs String.
func (j *JSONRPC) LogValue() slog.Value { return slog.StringValue(j.String()) }

// String tells where operations go to, without the query.
func (g *Graph) String() string { return wrapperText("Graph", g.client, g.url) }

// Format prints String for all verbs: there may be secrets in the options.
func (g *Graph) Format(s fmt.State, _ rune) { printText(s, g.String()) }

// LogValue logs String.
func (g *Graph) LogValue() slog.Value { return slog.StringValue(g.String()) }

// String gives the base and how its servers are:
// <Balancer http://users.internal/v1/ [3 servers, 1 left out]>.
func (b *Balancer) String() string {
	stats := b.Stats()
	out := 0
	for _, s := range stats {
		if s.Out {
			out++
		}
	}
	return fmt.Sprintf("<Balancer %s [%d servers, %d left out]>", b.base, len(stats), out)
}

// Format prints String for all verbs.
func (b *Balancer) Format(s fmt.State, _ rune) { printText(s, b.String()) }

// LogValue logs String.
func (b *Balancer) LogValue() slog.Value { return slog.StringValue(b.String()) }
