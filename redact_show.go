package parley

import (
	"mime"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/seed-0474a412/parley/internal/links"
)

// Hidden stands in all that parley tells of calls for a value that may be a secret.
const Hidden = hidden

// judge gives what decides for r.
func (r Redaction) judge() *redaction {
	own := &redaction{shown: plainNames(r.ShowParams), hidden: plainNames(r.HideParams), all: r.ShowSecrets}
	for _, name := range r.ShowHeaders {
		own.headers = append(own.headers, textproto.CanonicalMIMEHeaderKey(name))
	}
	return own
}

// Header gives the header of a request as it may be shown, for middleware and tests that
// write down calls by themselves: a copy with [Hidden] in the place of secrets.
func (r Redaction) Header(h http.Header) http.Header { return r.judge().header(canonical(h)) }

// AnswerHeader is Header for an answer, or for its trailer.
func (r Redaction) AnswerHeader(h http.Header) http.Header {
	judge, out := r.judge(), make(http.Header, len(h))
	for name, values := range canonical(h) {
		for _, v := range values {
			out[name] = append(out[name], judge.ofAnswer(name, v))
		}
	}
	return out
}

// URL gives a URL as it may be shown: always without user information and fragment, and
// with [Hidden] in the place of secret parameters. nil gives "".
func (r Redaction) URL(u *url.URL) string { return r.judge().url(u) }

// Param gives the value of a parameter of a query, a form field or a JSON member as it may
// be shown: itself, or [Hidden] if its name speaks of a secret.
func (r Redaction) Param(name, value string) string {
	if r.judge().hides(name) {
		return hidden
	}
	return value
}

// Content gives a body of a media type as it may be shown. Forms and JSON are looked into;
// others are shown as they are. data is not changed.
func (r Redaction) Content(contentType string, data []byte) []byte {
	mediaType, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		mediaType = ""
	}
	return r.judge().content(mediaType, data)
}

// links gives a line of a Link header (RFC 8288) with its targets as they may be shown, and
// of their parameters those that say what the links are for.
func (r *redaction) links(line string) string {
	var out []string
	for v := range links.Parse([]string{line}) {
		text := "<" + r.reference(v.Target) + ">"
		for _, p := range v.Params {
			switch p.Name {
			case "rel", "type", "hreflang", "media", "title":
				text += "; " + p.Name + `="` + strings.ReplaceAll(strings.ReplaceAll(p.Value, `\`, `\\`), `"`, `\"`) + `"`
			}
		}
		out = append(out, text)
	}
	if len(out) == 0 {
		return hidden
	}
	return strings.Join(out, ", ")
}
