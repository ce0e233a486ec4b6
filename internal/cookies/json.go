package cookies

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
	"unicode/utf8"
)

// formatVersion is that of the JSON format.
const formatVersion = 1

// record is a cookie in a JSON file. What is left out is the narrower choice. Text
// that is no UTF-8 is in the fields for base64, which win.
type record struct {
	Domain     string    `json:"domain"`
	Subdomains bool      `json:"subdomains,omitempty"`
	Path       string    `json:"path,omitempty"`
	PathBytes  []byte    `json:"path_base64,omitempty"`
	Name       string    `json:"name,omitempty"`
	NameBytes  []byte    `json:"name_base64,omitempty"`
	Value      string    `json:"value,omitempty"`
	ValueBytes []byte    `json:"value_base64,omitempty"`
	Secure     bool      `json:"secure,omitempty"`
	HttpOnly   bool      `json:"http_only,omitempty"`
	SameSite   string    `json:"same_site,omitempty"`
	Expires    time.Time `json:"expires,omitzero"`
	Created    time.Time `json:"created,omitzero"`
	Accessed   time.Time `json:"accessed,omitzero"`
}

// sameSites are the names of what parseSameSite knows.
var sameSites = map[http.SameSite]string{
	http.SameSiteNoneMode: "None", http.SameSiteStrictMode: "Strict", http.SameSiteLaxMode: "Lax",
}

func newRecord(c *Cookie) record {
	r := record{
		Domain: c.Domain, Subdomains: !c.HostOnly, Secure: c.Secure, HttpOnly: c.HttpOnly,
		SameSite: sameSites[c.SameSite], Expires: c.Expires, Created: c.Created, Accessed: c.Accessed,
	}
	put := func(s string, text *string, bytes *[]byte) {
		if utf8.ValidString(s) {
			*text = s
		} else {
			*bytes = []byte(s)
		}
	}
	put(c.Path, &r.Path, &r.PathBytes)
	put(c.Name, &r.Name, &r.NameBytes)
	put(c.Value, &r.Value, &r.ValueBytes)
	return r
}

func (r *record) cookie() Cookie {
	c := Cookie{
		Domain: r.Domain, HostOnly: !r.Subdomains, Path: r.Path, Name: r.Name, Value: r.Value,
		Secure: r.Secure, HttpOnly: r.HttpOnly, SameSite: parseSameSite(r.SameSite),
		Expires: utc(r.Expires), Created: utc(r.Created), Accessed: utc(r.Accessed),
	}
	if r.PathBytes != nil {
		c.Path = string(r.PathBytes)
	}
	if r.NameBytes != nil {
		c.Name = string(r.NameBytes)
	}
	if r.ValueBytes != nil {
		c.Value = string(r.ValueBytes)
	}
	return c
}

// utc is wall, but keeps the zero time what it is in every zone.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return wall(t)
}

// WriteJSON writes cookies, the oldest first, one to a line. Nothing of the text can be
// missing without its being seen: it ends with the brace that closes it.
func WriteJSON(w io.Writer, all []Cookie) error {
	byAge(all)
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "{\n\"version\": %d,\n\"cookies\": [", formatVersion) // out keeps the error until Flush
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	for i := range all {
		line.Reset()
		if err := enc.Encode(newRecord(&all[i])); err != nil {
			return err
		}
		sep := ",\n"
		if i == 0 {
			sep = "\n"
		}
		out.WriteString(sep)
		out.Write(bytes.TrimSuffix(line.Bytes(), []byte("\n")))
	}
	out.WriteString("\n]\n}")
	return out.Flush()
}

// ReadJSON stores the cookies that WriteJSON wrote. Text that is damaged in any place
// is an error and stores nothing; records that are no cookies are left out, and bad
// says why.
func (s *Store) ReadJSON(r io.Reader, now time.Time) (bad []error, err error) {
	l := s.loader(now)
	f := jsonFile{in: newLineReader(r, l.staged.limits), loader: l}
	f.dec = json.NewDecoder(f.in)
	if err := f.read(); err != nil {
		return nil, f.damage(err)
	}
	return l.finish(s), nil
}

type jsonFile struct {
	in     *lineReader
	dec    *json.Decoder
	loader *loader
}

// damage names the line, and what an end of file means.
func (f *jsonFile) damage(err error) error {
	switch {
	case f.in.line == 0 && errors.Is(err, io.EOF):
		return errEmptyFile
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = errCutShort
	}
	if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
		err = errNotJSON // its text shows bytes of the file
	}
	if kind := (*json.UnmarshalTypeError)(nil); errors.As(err, &kind) {
		err = errVersion
	}
	return &LineError{max(f.in.line, 1), err}
}

const (
	errNotJSON  = Damage("this is no JSON")
	errNotOurs  = Damage(`this is no cookie file: it has no object with a list "cookies"`)
	errVersion  = Damage("the file has another version than 1")
	errTrailing = Damage("something follows after the end of the cookies")
)

var (
	errNotUTF8 = errors.New("the record is not UTF-8")
	errFields  = errors.New("the record has a field of the wrong type")
)

// expect reads a delimiter.
func (f *jsonFile) expect(d json.Delim) error {
	f.in.record()
	token, err := f.dec.Token()
	if err == nil && token != d {
		err = errNotOurs
	}
	return err
}

func (f *jsonFile) read() error {
	if err := f.expect('{'); err != nil {
		return err
	}
	found := false
	for f.dec.More() {
		f.in.record()
		key, err := f.dec.Token()
		if err != nil {
			return err
		}
		switch key {
		case "cookies":
			found = true
			err = f.list()
		case "version":
			var version int
			if err = f.dec.Decode(&version); err == nil && version != formatVersion {
				err = errVersion
			}
		default:
			err = f.dec.Decode(new(json.RawMessage))
		}
		if err != nil {
			return err
		}
	}
	if err := f.expect('}'); err != nil {
		return err
	}
	if !found {
		return errNotOurs
	}
	f.in.record()
	_, err := f.dec.Token()
	if syntax := (*json.SyntaxError)(nil); err == nil || errors.As(err, &syntax) {
		return errTrailing
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (f *jsonFile) list() error {
	if err := f.expect('['); err != nil {
		return err
	}
	for {
		f.in.record()
		if !f.dec.More() {
			return f.expect(']')
		}
		var raw json.RawMessage
		if err := f.dec.Decode(&raw); err != nil {
			return err
		}
		var r record
		switch {
		case !utf8.Valid(raw):
			f.loader.refuse(f.in.line, errNotUTF8)
		case json.Unmarshal(raw, &r) != nil:
			f.loader.refuse(f.in.line, errFields)
		default:
			c := r.cookie()
			f.loader.take(f.in.line, &c)
		}
	}
}
