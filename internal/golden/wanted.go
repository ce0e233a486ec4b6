package golden

import (
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// written is a URL or reference taken apart as it is written, by RFC 3986, appendix B.
type written struct {
	scheme, authority, path, query string
	hasAuthority, hasQuery         bool
}

func takeApart(text string) written {
	var w written
	text, _, _ = strings.Cut(text, "#")
	text, w.query, w.hasQuery = strings.Cut(text, "?")
	if scheme, rest, ok := strings.Cut(text, ":"); ok && scheme != "" && !strings.ContainsAny(scheme, "/") {
		w.scheme, text = strings.ToLower(scheme), rest
	}
	if rest, ok := strings.CutPrefix(text, "//"); ok {
		w.hasAuthority = true
		w.authority, w.path = rest, ""
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			w.authority, w.path = rest[:i], rest[i:]
		}
		return w
	}
	w.path = text
	return w
}

// target works out, from the input alone, the request target of the last call as the joining and merging of URLs by
// parley's rules has it.
func (c *Case) target() string {
	call := c.Calls[len(c.Calls)-1]
	base, ref := takeApart(c.Client.BaseURL), takeApart(call.URL)
	path, query := ref.path, ref.query
	if call.Params.IsText { // there is no option for a text: it is written into the URL
		query = joinQuery(query, call.Params.Text)
	}
	if ref.scheme == "" {
		path = base.path
		for _, part := range c.Client.Append {
			path = below(path, part)
		}
		path = below(path, ref.path)
		query = joinQuery(withoutKeys(base.query, keysOf(ref.query)), query)
	}
	if c.Client.Trailing != "" {
		path = strings.TrimRight(path, "/") + c.Client.Trailing
	}
	path, _ = resolve(encodeIllegal(path, pathBytes))
	query = encodeIllegal(query, queryBytes)

	own := flatten(call.Params.List)
	gone := keysOf(query)
	for _, field := range call.Params.List {
		gone = append(gone, field.Name)
		if field.Value == nil { // removed
			query = withoutKeys(query, []string{field.Name})
		}
	}
	var session []Field
	if ref.scheme == "" || c.Client.BaseURL == "" || originsEqual(base, ref) {
		session = flatten(c.Client.Params.List)
	}
	params := mergeFields(session, own, gone)
	for _, p := range params {
		query = joinQuery(query, url.QueryEscape(p.Name)+"="+url.QueryEscape(p.Value.(string)))
	}
	if query != "" || ref.hasQuery && len(params) == 0 {
		return path + "?" + query
	}
	return path
}

// below puts a path below another one. Only a slash that is missing is added.
func below(base, path string) string {
	switch {
	case path == "":
		return base
	case strings.HasSuffix(base, "/"):
		return base + strings.TrimPrefix(path, "/")
	}
	return base + "/" + strings.TrimPrefix(path, "/")
}

func originsEqual(a, b written) bool {
	return a.scheme == b.scheme && strings.EqualFold(a.authority, b.authority)
}

// mergeFields puts the request's values where the session has the same key, and the others behind.
func mergeFields(session, own []Field, gone []string) []Field {
	var merged []Field
	placed := map[string]bool{}
	place := func(name string) {
		if placed[name] {
			return
		}
		placed[name] = true
		for _, f := range own {
			if f.Name == name {
				merged = append(merged, f)
			}
		}
	}
	for _, f := range session {
		switch {
		case slices.ContainsFunc(own, func(o Field) bool { return o.Name == f.Name }):
			place(f.Name)
		case !slices.Contains(gone, f.Name):
			merged = append(merged, f)
		}
	}
	for _, f := range own {
		if !placed[f.Name] {
			if slices.ContainsFunc(session, func(s Field) bool { return s.Name == f.Name }) {
				place(f.Name)
				continue
			}
			merged = append(merged, f)
		}
	}
	return merged
}

// flatten writes every value as text, lists as several fields, and leaves out nulls.
func flatten(fields []Field) []Field {
	var flat []Field
	for _, f := range fields {
		values, ok := f.Value.([]any)
		if !ok {
			values = []any{f.Value}
		}
		for _, v := range values {
			switch v := v.(type) {
			case string:
				flat = append(flat, Field{f.Name, v})
			case bool:
				flat = append(flat, Field{f.Name, strconv.FormatBool(v)})
			case json.Number:
				flat = append(flat, Field{f.Name, v.String()})
			}
		}
	}
	return flat
}

func joinQuery(a, b string) string {
	if a == "" || b == "" || strings.HasSuffix(a, "&") {
		return a + b
	}
	return a + "&" + b
}

// keysOf gives the decoded keys of a query.
func keysOf(query string) []string {
	var keys []string
	for part := range strings.SplitSeq(query, "&") {
		if key, _, _ := strings.Cut(part, "="); part != "" {
			if decoded, err := url.QueryUnescape(key); err == nil {
				key = decoded
			}
			keys = append(keys, key)
		}
	}
	return keys
}

func withoutKeys(query string, keys []string) string {
	var left []string
	for part := range strings.SplitSeq(query, "&") {
		if own := keysOf(part); len(own) == 0 || !slices.Contains(keys, own[0]) {
			left = append(left, part)
		}
	}
	return strings.Join(left, "&")
}

const (
	unreservedBytes = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	pathBytes       = unreservedBytes + "!$&'()*+,;=:@/" // RFC 3986, section 3.3
	queryBytes      = pathBytes + "?"
)

// encodeIllegal percent-encodes every byte that is not legal, and a percent sign that begins no escape.
func encodeIllegal(text, legal string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(text) {
		if strings.IndexByte(legal, text[i]) >= 0 || isEscape(text[i:]) {
			b.WriteByte(text[i])
			continue
		}
		b.Write([]byte{'%', digits[text[i]>>4], digits[text[i]&15]})
	}
	return b.String()
}

func isEscape(text string) bool {
	if len(text) < 3 || text[0] != '%' {
		return false
	}
	_, err := strconv.ParseUint(text[1:3], 16, 8)
	return err == nil
}

// dots tells a segment "." (1) or ".." (2), also written with %2e, from others (0).
func dots(segment string) int {
	switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
	case ".":
		return 1
	case "..":
		return 2
	}
	return 0
}

// resolve removes the dot segments of an absolute path (RFC 3986, section 5.2.4). above reports that one of them would
// have climbed above the root.
func resolve(path string) (resolved string, above bool) {
	segments := strings.Split(strings.TrimPrefix(path, "/"), "/")
	out := []string{}
	for i, segment := range segments {
		last := i == len(segments)-1
		switch dots(segment) {
		case 0:
			out = append(out, segment)
			continue
		case 2:
			above = above || len(out) == 0
			out = out[:max(len(out)-1, 0)]
		}
		if last {
			out = append(out, "")
		}
	}
	return "/" + strings.Join(out, "/"), above
}
