package parleytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley"
)

// minRepeated is the length from which on a credential that is hidden in its place is looked
// for elsewhere: shorter ones stand for too many other things.
const minRepeated = 12

// hider hides secrets. It does not change.
type hider struct {
	redaction parley.Redaction
	given     []string // secrets that were named
	replacer  *strings.Replacer
}

func newHider(cfg CassetteConfig) *hider {
	return &hider{cfg.Redaction, cfg.Secrets, replacerOf(cfg.Secrets)}
}

// hides reports whether the name of a parameter, a field or a member speaks of a secret.
func (h *hider) hides(name string) bool { return h.redaction.Param(name, "") != "" }

// scrub hides the secrets that were named in a message.
func (h *hider) scrub(text string) string { return h.replacer.Replace(text) }

// replacerOf hides some values in every form in which they may stand in a file.
func replacerOf(secrets []string) *strings.Replacer {
	var forms []string
	for _, s := range secrets {
		if s == "" {
			continue
		}
		quoted, _ := json.Marshal(s) // a string always can
		forms = append(forms, s, url.QueryEscape(s), url.PathEscape(s), strings.Trim(string(quoted), `"`))
	}
	slices.SortFunc(forms, func(a, b string) int { // what contains another goes first
		if n := len(b) - len(a); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	var pairs []string
	for _, form := range slices.Compact(forms) {
		pairs = append(pairs, form, parley.Hidden)
	}
	return strings.NewReplacer(pairs...)
}

// all gives copies of the recordings as they are written.
func (h *hider) all(recordings []*Recording) ([]*Recording, error) {
	secrets := slices.Clone(h.given)
	out := make([]*Recording, len(recordings))
	for i, r := range recordings {
		var err error
		if out[i], err = h.recording(r, func(s string) { secrets = append(secrets, s) }); err != nil {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
	}
	replacer := replacerOf(secrets)
	for _, r := range out {
		if err := r.replace(replacer); err != nil {
			return nil, fmt.Errorf("%s: %w", r, err)
		}
	}
	return out, nil
}

// replace hides values wherever they stand.
func (r *Recording) replace(by *strings.Replacer) error {
	u, err := url.Parse(by.Replace(r.URL.String()))
	if err != nil {
		return fmt.Errorf("without secrets its URL is none: %w", err)
	}
	r.URL = u
	for _, header := range []http.Header{r.RequestHeader, r.Header, r.Trailer} {
		for _, values := range header {
			for i, v := range values {
				values[i] = by.Replace(v)
			}
		}
	}
	r.RequestBody = []byte(by.Replace(string(r.RequestBody)))
	if body := by.Replace(string(r.Body)); body != string(r.Body) {
		r.Body = []byte(body)
		dropDigests(r.Header)
	}
	return nil
}

// recording gives a copy without secrets, and tells of those that may be repeated elsewhere.
func (h *hider) recording(r *Recording, found func(string)) (*Recording, error) {
	out := r.clone()
	credential := func(s string) {
		// Digits may stand elsewhere as a number, which has to remain one.
		if len(s) >= minRepeated && strings.Trim(s, "0123456789") != "" {
			found(s)
		}
	}
	if h.redaction.ShowSecrets {
		credential = func(string) {}
	}
	h.ofHeader(r.RequestHeader, credential)
	h.ofHeader(r.Header, credential)
	h.ofValues(r.URL.Query(), credential)
	u, err := url.Parse(h.redaction.URL(r.URL))
	if err != nil {
		return nil, fmt.Errorf("without secrets its URL is none: %w", err)
	}
	out.URL = u
	out.RequestHeader, out.Header, out.Trailer = h.redaction.Header(out.RequestHeader), h.redaction.AnswerHeader(out.Header), h.redaction.AnswerHeader(out.Trailer)
	out.RequestBody = h.body(out.RequestHeader, out.RequestBody, credential)
	out.Body = h.body(out.Header, out.Body, credential)
	if !bytes.Equal(out.Body, r.Body) {
		dropDigests(out.Header)
	}
	if !bytes.Equal(out.RequestBody, r.RequestBody) {
		dropDigests(out.RequestHeader)
	}
	return out, nil
}

// ofHeader finds the credentials in a header.
func (h *hider) ofHeader(header http.Header, found func(string)) {
	for name, values := range header {
		for _, v := range values {
			switch name {
			case "Cookie", "Set-Cookie":
				h.ofCookies(name, v, found)
				continue
			case "Authorization", "Proxy-Authorization":
				if _, credentials, ok := strings.Cut(v, " "); ok {
					v = strings.TrimSpace(credentials)
				}
			}
			shown := h.redaction.Header(http.Header{name: {v}}).Get(name) == v
			if !shown && h.hides(name) {
				found(v)
			}
		}
	}
}

func (h *hider) ofCookies(name, line string, found func(string)) {
	pairs := strings.Split(line, ";")
	if name == "Set-Cookie" {
		pairs = pairs[:1] // attributes follow
	}
	for _, pair := range pairs {
		if key, value, ok := strings.Cut(strings.TrimSpace(pair), "="); ok && h.hides(key) {
			found(value)
		}
	}
}

func (h *hider) ofValues(values url.Values, found func(string)) {
	for name, all := range values {
		for _, v := range all {
			if h.hides(name) {
				found(v)
			}
		}
	}
}

// body gives a body without secrets. The header may change with it.
func (h *hider) body(header http.Header, data []byte, found func(string)) []byte {
	if len(data) == 0 || h.redaction.ShowSecrets {
		return data
	}
	mediaType, params := mediaTypeOf(header)
	switch {
	case mediaType == "application/x-www-form-urlencoded":
		if values, err := url.ParseQuery(string(data)); err == nil {
			h.ofValues(values, found)
		}
	case mediaType == "multipart/form-data":
		if parts, err := partsOf(content{data, params}); err == nil {
			return h.form(header, parts, found)
		}
	case mediaType == "text/event-stream":
		return h.events(data, found)
	case isJSON(data):
		return h.json(data, found)
	}
	return h.redaction.Content(header.Get("Content-Type"), data)
}

// formBoundary takes the place of the random boundaries of forms, so that the file does
// not change with each recording.
const formBoundary = "parleytest-boundary-0123456789"

// form writes a multipart form anew.
func (h *hider) form(header http.Header, parts []part, found func(string)) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		b.WriteString("--" + formBoundary + "\r\n" + headText(p.header) + "\r\n")
		switch {
		case h.hides(p.name):
			found(string(p.content))
			b.WriteString(parley.Hidden)
		case isJSON(p.content):
			b.Write(h.json(p.content, found))
		default:
			b.Write(p.content)
		}
		b.WriteString("\r\n")
	}
	b.WriteString("--" + formBoundary + "--\r\n")
	header.Set("Content-Type", `multipart/form-data; boundary=`+formBoundary)
	return b.Bytes()
}

// events looks into the JSON in the data of an event stream.
func (h *hider) events(data []byte, found func(string)) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(line, []byte("data:")); ok && isJSON(rest) {
			out = append(append(out, "data:"...), h.json(rest, found)...)
			continue
		}
		out = append(out, line...)
	}
	return out
}

// json hides in JSON, of one value or several, what stands under names that speak of
// secrets: texts become parley.Hidden and numbers 0, so that types remain. All else stays
// byte for byte. What turns out to be no JSON is redacted as parley does it.
func (h *hider) json(data []byte, found func(string)) []byte {
	type frame struct{ object, key, hidden bool } // key: one comes next
	stack := []frame{{}}
	next := false // the value that comes next is hidden
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out []byte
	for done := 0; ; {
		token, err := d.Token()
		if err == io.EOF {
			return append(out, data[done:]...)
		} else if err != nil {
			return h.redaction.Content("", data)
		}
		end := int(d.InputOffset())
		start := end - len(bytes.TrimLeft(data[done:end], " \t\r\n,:"))
		out = append(out, data[done:start]...)
		written := data[start:end]
		done = end
		top := &stack[len(stack)-1]
		switch v := token.(type) {
		case json.Delim:
			if v == '{' || v == '[' {
				stack = append(stack, frame{object: v == '{', key: v == '{', hidden: next || top.hidden})
			} else {
				stack = stack[:len(stack)-1]
			}
		case string:
			switch {
			case top.key:
				top.key, next = false, h.hides(v)
				out = append(out, written...)
				continue
			case (next || top.hidden) && v != "":
				found(v)
				written = []byte(`"` + parley.Hidden + `"`)
			}
		case json.Number:
			if next || top.hidden {
				written = []byte("0")
			}
		}
		out = append(out, written...)
		next = false
		if top = &stack[len(stack)-1]; top.object && (token != json.Delim('{')) {
			top.key = true
		}
	}
}
