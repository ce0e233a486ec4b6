package parley

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley/internal/h1"
	"github.com/seed-0474a412/parley/internal/urls"
)

// hidden stands for a value that may be a secret.
const hidden = "[hidden]"

// Redaction says what is shown and what is hidden in all that parley tells of calls: logs
// ([WithLogger]), dumps ([WithDump]), recordings ([WithRecorder], [WithHAR]), command
// lines ([Request.Curl]) and headers in an [Explanation]. Its methods tell the same to
// others. The zero value is the default.
//
// Hidden is, by default, what may be a secret: the values of all headers that are not
// known to be harmless, which are those that would not follow a redirect to another
// origin, and in answers those that are not among the common ones of HTTP; the values of
// cookies; user information in URLs; and the values of query parameters, of form fields
// and of JSON members whose names speak of a secret, such as api_key, access_token,
// password or X-Amz-Signature. Names compare without regard to case, and without the
// characters - _ . [ ]. Bodies of other types, paths, and values under other names are shown
// as they are. In errors the query is left out whole, whatever is said here.
type Redaction struct {
	// ShowHeaders names headers, of requests and answers, that are shown all the same.
	ShowHeaders []string
	// ShowParams names parameters, fields and members that are shown although their
	// names speak of a secret.
	ShowParams []string
	// HideParams names further ones to hide. It wins over ShowParams.
	HideParams []string
	// ShowSecrets shows everything: for a developer's own machine, never for logs that
	// others read.
	ShowSecrets bool
}

// WithRedaction says what is shown and what is hidden, in addition to what was said
// before. Malformed names of headers are ErrInvalidHeader.
func WithRedaction(r Redaction) Option {
	own := &redaction{all: r.ShowSecrets}
	for _, name := range r.ShowHeaders {
		own.headers = append(own.headers, textproto.CanonicalMIMEHeaderKey(name))
	}
	own.shown, own.hidden = plainNames(r.ShowParams), plainNames(r.HideParams)
	return option(func(s *settings) error {
		for _, name := range own.headers {
			if err := h1.CheckField(name, ""); err != nil {
				return because(ErrInvalidHeader, err)
			}
		}
		s.see(func(how *sight) { how.redaction = own.over(how.redaction) })
		return nil
	})
}

// redaction judges what may be shown. A nil one is the default. It does not change.
type redaction struct {
	headers       []string // canonical
	shown, hidden []string // as plainName gives them
	all           bool
}

// over joins r with what was said before.
func (r *redaction) over(earlier *redaction) *redaction {
	if r == nil || earlier == nil {
		return cmpOrRedaction(r, earlier)
	}
	return &redaction{
		headers: joined(earlier.headers, r.headers), shown: joined(earlier.shown, r.shown),
		hidden: joined(earlier.hidden, r.hidden), all: r.all || earlier.all,
	}
}

func cmpOrRedaction(a, b *redaction) *redaction {
	if a != nil {
		return a
	}
	return b
}

// String says in short what differs from the default.
func (r *redaction) String() string {
	if r.all {
		return "secrets are shown"
	}
	var out []string
	for _, part := range []struct {
		what  string
		names []string
	}{{"headers shown", r.headers}, {"parameters shown", r.shown}, {"parameters hidden", r.hidden}} {
		if len(part.names) > 0 {
			out = append(out, fmt.Sprintf("%s: %s", part.what, quoteBad(strings.Join(part.names, ", "), 128)))
		}
	}
	if len(out) == 0 {
		return "the default"
	}
	return strings.Join(out, "; ")
}

// shown reports whether the values of a request's header are known to hold no secrets.
func shown(name string) bool {
	return slices.Contains(harmless, name) || slices.Contains(alsoHarmless, name) || slices.Contains(ofContent, name) ||
		slices.Contains(framing, name) || name == "Connection" || name == "Cache-Control" || name == "Host"
}

// answerHeaders are the headers of answers that hold no secrets, beside those of requests.
var answerHeaders = []string{
	"Accept-Ranges", "Access-Control-Allow-Credentials", "Access-Control-Allow-Headers", "Access-Control-Allow-Methods",
	"Access-Control-Allow-Origin", "Access-Control-Max-Age", "Age", "Allow", "Alt-Svc", "Clear-Site-Data", "Date",
	"Etag", "Expires", "Keep-Alive", "Last-Modified", "Pragma", "Proxy-Connection", "Ratelimit", "Ratelimit-Limit",
	"Ratelimit-Policy", "Ratelimit-Remaining", "Ratelimit-Reset", "Retry-After", "Server", "Server-Timing",
	"Strict-Transport-Security", "Timing-Allow-Origin", "Upgrade", "Vary", "Via", "Warning", "X-Content-Type-Options",
	"X-Frame-Options", "X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset",
}

// shows reports whether the values of a request's header may be shown.
func (r *redaction) shows(name string) bool {
	return shown(name) || r != nil && (r.all || slices.Contains(r.headers, name))
}

// ofRequest gives the value of a header of a request as it may be shown. name is
// canonical.
func (r *redaction) ofRequest(name, value string) string {
	switch {
	case r.shows(name):
		return value
	case name == "Cookie":
		return hideCookies(value)
	}
	return hidden
}

// ofAnswer is ofRequest for a header of an answer.
func (r *redaction) ofAnswer(name, value string) string {
	switch {
	case r.shows(name) || slices.Contains(answerHeaders, name):
		return value
	case name == "Location":
		return r.reference(value)
	case name == "Link":
		return r.links(value)
	case name == "Set-Cookie":
		return hideSetCookie(value)
	}
	return hidden
}

// header gives a copy of a request's header with only what may be shown.
func (r *redaction) header(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		for _, v := range values {
			out[name] = append(out[name], r.ofRequest(name, v))
		}
	}
	return out
}

// hideCookies keeps the names of a Cookie header.
func hideCookies(line string) string {
	var out []string
	for pair := range strings.SplitSeq(line, ";") {
		name, _, ok := strings.Cut(strings.Trim(pair, " \t"), "=")
		if !ok {
			return hidden
		}
		out = append(out, name+"="+hidden)
	}
	return strings.Join(out, "; ")
}

// hideSetCookie keeps the name and the attributes of a Set-Cookie header.
func hideSetCookie(line string) string {
	pair, rest, _ := strings.Cut(line, ";")
	name, _, ok := strings.Cut(pair, "=")
	if !ok {
		return hidden
	}
	out := strings.Trim(name, " \t") + "=" + hidden
	for attr := range strings.SplitSeq(rest, ";") {
		attr = strings.Trim(attr, " \t")
		switch key, _, _ := strings.Cut(attr, "="); strings.ToLower(strings.TrimRight(key, " \t")) {
		case "path", "domain", "expires", "max-age", "secure", "httponly", "samesite", "partitioned":
			out += "; " + attr
		}
	}
	return out
}

// url gives a URL as it may be shown: without user information and fragment.
func (r *redaction) url(u *url.URL) string {
	if u == nil {
		return ""
	}
	v := *u
	v.RawQuery, v.ForceQuery = "", false
	text := urls.Plain(&v)
	if u.RawQuery != "" || u.ForceQuery {
		text += "?" + r.query(u.RawQuery)
	}
	return text
}

// reference is url for what a server says, which may be no URL.
func (r *redaction) reference(ref string) string {
	if r != nil && r.all {
		return ref
	}
	ref, _, _ = strings.Cut(ref, "#") // it may be malformed, and is not shown
	u, err := url.Parse(strings.Trim(ref, " \t"))
	if err != nil || u.Opaque != "" {
		return hidden
	}
	return r.url(u)
}

// target gives a request target, or whatever else ends in a query, as it may be shown.
func (r *redaction) target(target string) string {
	path, query, has := strings.Cut(target, "?")
	if !has {
		return target
	}
	return path + "?" + r.query(query)
}

// query gives a query, or a form, as it may be shown.
func (r *redaction) query(q string) string {
	if r != nil && r.all {
		return q
	}
	var b strings.Builder
	for i, pair := range strings.Split(q, "&") {
		if i > 0 {
			b.WriteByte('&')
		}
		key, value, has := strings.Cut(pair, "=")
		b.WriteString(key)
		if has && value != "" && r.hides(unescaped(key)) {
			value = hidden
		}
		if has {
			b.WriteString("=" + value)
		}
	}
	return b.String()
}

// unescaped gives what an escaped name says, or that itself where it is malformed.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// The names of parameters that speak of secrets, as plainName gives them.
var (
	secretNames = []string{"key", "sig", "hmac", "code", "pass", "pwd", "pin", "otp", "sid", "auth", "oauth", "bearer", "ticket", "assertion", "nonce", "samlresponse", "samlrequest"}
	secretWords = []string{
		"token", "secret", "password", "passwd", "passphrase", "passcode", "signature", "credential", "apikey", "accesskey",
		"privatekey", "authkey", "authorization", "authcode", "session", "jwt", "cookie", "clientassertion", "subscriptionkey",
	}
)

var plainer = strings.NewReplacer("-", "", "_", "", ".", "", "[", "", "]", "")

// plainName gives a name in the form in which names are compared.
func plainName(name string) string { return strings.ToLower(plainer.Replace(name)) }

func plainNames(names []string) []string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = plainName(name)
	}
	return out
}

// hides reports whether the value of a parameter, a field or a member is hidden.
func (r *redaction) hides(name string) bool {
	name = plainName(name)
	if r != nil {
		switch {
		case r.all:
			return false
		case slices.Contains(r.hidden, name):
			return true
		case slices.Contains(r.shown, name):
			return false
		}
	}
	return slices.Contains(secretNames, name) ||
		slices.ContainsFunc(secretWords, func(word string) bool { return strings.Contains(name, word) })
}

// content gives a body, or the beginning of one, as it may be shown.
func (r *redaction) content(mediaType string, data []byte) []byte {
	if r != nil && r.all {
		return data
	}
	if mediaType == "application/x-www-form-urlencoded" {
		return []byte(r.query(string(data)))
	}
	if start := bytes.TrimLeft(data, " \t\r\n\ufeff"); len(start) > 0 && (start[0] == '{' || start[0] == '[') {
		return r.members(data)
	}
	return data
}

// members hides the values of JSON members. What is no JSON stays as it is.
func (r *redaction) members(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for len(data) > 0 {
		if data[0] != '"' {
			out, data = append(out, data[0]), data[1:]
			continue
		}
		n := stringLen(data)
		key := data[:n]
		out, data = append(out, key...), data[n:]
		rest := bytes.TrimLeft(data, " \t\r\n")
		if len(rest) == 0 || rest[0] != ':' {
			continue
		}
		value := bytes.TrimLeft(rest[1:], " \t\r\n")
		if n := valueLen(value); n > 0 && r.hides(memberName(key)) {
			out = append(out, data[:len(data)-len(value)]...)
			out = append(out, `"`+hidden+`"`...)
			data = value[n:]
		}
	}
	return out
}

// memberName gives what a JSON string says.
func memberName(quoted []byte) string {
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		return strings.Trim(string(quoted), `"`)
	}
	return name
}

// stringLen is the length of the JSON string that data begins with, which may be cut off.
func stringLen(data []byte) int {
	for i := 1; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// valueLen is the length of the JSON value that data begins with, which may be cut off.
func valueLen(data []byte) int {
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			i += stringLen(data[i:]) - 1
			if depth == 0 {
				return min(i+1, len(data))
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(data)
}
