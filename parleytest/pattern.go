package parleytest

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// urlPattern is what a route says of the URL.
type urlPattern struct {
	scheme string         // "": any
	host   *regexp.Regexp // nil: any, with any port
	port   string         // "": that of the scheme; "*": any
	path   *regexp.Regexp // nil: any
	names  []string       // of the placeholders, in the order of the groups of path
	shown  string         // the path as it was written
	where  string         // the origin as it was written
	query  url.Values     // what has to be there
}

// newPattern reads a pattern: see [Mock.On].
func newPattern(text string) (*urlPattern, error) {
	p := &urlPattern{where: "any origin", shown: text}
	if text == "*" {
		return p, nil
	}
	if strings.Contains(text, "#") {
		return nil, errors.New("a pattern has no fragment")
	}
	rest, query, _ := strings.Cut(text, "?")
	var err error
	if p.query, err = url.ParseQuery(query); err != nil {
		return nil, err
	}
	if scheme, after, found := strings.Cut(rest, "://"); found {
		host, path, _ := strings.Cut(after, "/")
		p.where, rest = scheme+"://"+host, "/"+path
		if err := p.readOrigin(strings.ToLower(scheme), strings.ToLower(host)); err != nil {
			return nil, err
		}
	}
	if !strings.HasPrefix(rest, "/") {
		return nil, errors.New(`a pattern begins with http://, https://, all:// or a slash, or is "*"`)
	}
	p.shown = rest
	return p, p.readPath(rest)
}

func (p *urlPattern) readOrigin(scheme, host string) error {
	switch scheme {
	case "http", "https":
		p.scheme = scheme
	case "all":
	default:
		return fmt.Errorf("the scheme %q is none of http, https and all", scheme)
	}
	switch {
	case host == "":
		return errors.New("a pattern with a scheme has a host")
	case host == "*":
		return nil
	case strings.Contains(host, "@"):
		return errors.New("a pattern has no user information: use WithHeader")
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		host, p.port = name, port
	}
	host = strings.Trim(host, "[]")
	p.host = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(host), `\*`, ".+") + "$")
	return nil
}

func (p *urlPattern) readPath(path string) error {
	var expr strings.Builder
	expr.WriteString("^")
	for path != "" {
		i := strings.IndexAny(path, "*{")
		if i < 0 {
			i = len(path)
		}
		expr.WriteString(regexp.QuoteMeta(plainPath(path[:i])))
		path = path[i:]
		switch {
		case path == "":
		case path[0] == '*':
			expr.WriteString(".*")
			path = path[1:]
		default:
			name, rest, closed := strings.Cut(path[1:], "}")
			name, all := strings.CutSuffix(name, "...")
			if !closed || name == "" || slices.Contains(p.names, name) {
				return errors.New("a placeholder is {name} or {name...}, and each has a name of its own")
			}
			p.names = append(p.names, name)
			if path = rest; all {
				expr.WriteString("(.*)")
			} else {
				expr.WriteString("([^/]+)")
			}
		}
	}
	expr.WriteString("$")
	p.path = regexp.MustCompile("(?s)" + expr.String())
	return nil
}

// plainPath gives an escaped path in one form: nothing is escaped but the slash within a
// segment and the percent sign.
func plainPath(escaped string) string {
	segments := strings.Split(escaped, "/")
	for i, s := range segments {
		if plain, err := url.PathUnescape(s); err == nil {
			segments[i] = plainEscapes.Replace(plain)
		}
	}
	return strings.Join(segments, "/")
}

var plainEscapes = strings.NewReplacer("%", "%25", "/", "%2F")

// values gives the values of the placeholders.
func (p *urlPattern) values(u *url.URL) map[string]string {
	if len(p.names) == 0 {
		return nil
	}
	found := p.path.FindStringSubmatch(plainPath(u.EscapedPath()))
	values := make(map[string]string)
	for i, name := range p.names {
		if i+1 < len(found) {
			if plain, err := url.PathUnescape(found[i+1]); err == nil {
				values[name] = plain
			}
		}
	}
	return values
}

// compare says in what a URL differs from the pattern.
func (p *urlPattern) compare(u *url.URL) []difference {
	var out []difference
	if !p.onOrigin(u) {
		out = append(out, difference{farOrigin, fmt.Sprintf("the origin is %s://%s, should be %s", u.Scheme, u.Host, p.where)})
	}
	if p.path != nil && !p.path.MatchString(plainPath(u.EscapedPath())) {
		far := farPath + segmentsApart(p.shown, u.EscapedPath())
		out = append(out, difference{far, fmt.Sprintf("the path is %s, should be %s", cut(u.EscapedPath()), p.shown)})
	}
	got := u.Query()
	for _, key := range sortedKeys(p.query) {
		if text := compareValues("the parameter "+key, got[key], p.query[key]); text != "" {
			out = append(out, difference{farDetail, text})
		}
	}
	return out
}

func (p *urlPattern) onOrigin(u *url.URL) bool {
	if p.scheme != "" && p.scheme != u.Scheme {
		return false
	}
	if p.host == nil {
		return true
	}
	return p.host.MatchString(strings.ToLower(u.Hostname())) && (p.port == "*" || portOf(u.Scheme, p.port) == portOf(u.Scheme, u.Port()))
}

func portOf(scheme, port string) string {
	switch {
	case port != "":
		return port
	case scheme == "https":
		return "443"
	}
	return "80"
}

// segmentsApart counts the segments in which two paths differ, placeholders aside.
func segmentsApart(shown, path string) int {
	a, b := strings.Split(shown, "/"), strings.Split(path, "/")
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && !strings.ContainsAny(a[i], "*{") {
			n++
		}
	}
	return n
}
