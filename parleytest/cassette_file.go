package parleytest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/seed-0474a412/parley"
	"github.com/seed-0474a412/parley/internal/har"
)

// cassetteCreator names the form of the files. It is no version of parley, so that a new
// one does not change them.
var cassetteCreator = har.Creator{Name: "parleytest", Version: "1"}

// noTime is the time of each entry.
var noTime = time.Unix(0, 0).UTC()

// read loads the file. An error that matches fs.ErrNotExist says that there is none.
func (c *Cassette) read() error {
	f, err := os.Open(c.path)
	if err != nil {
		return err
	}
	defer f.Close() // it is only read
	archive, err := har.Decode(f, c.cfg.MaxBytes)
	if err != nil {
		return err
	}
	for i := range archive.Log.Entries {
		e := &archive.Log.Entries[i]
		r, err := c.fromEntry(e)
		if err != nil {
			return fmt.Errorf("HTTP archive: entry %d: %w", i+1, err)
		}
		if e.Started.After(c.recorded) {
			c.recorded = e.Started
		}
		if r != nil {
			r.number = i + 1
			c.loaded = append(c.loaded, r)
		}
	}
	if at := archive.Log.Recorded; at != nil {
		c.recorded = *at
	}
	return nil
}

// fromEntry gives what an entry of this or another program says; nil for one without an
// answer.
func (c *Cassette) fromEntry(e *har.Entry) (*Recording, error) {
	if e.Response.Status == 0 {
		return nil, nil
	}
	u, err := url.Parse(e.Request.URL)
	switch {
	case err != nil:
		return nil, err
	case !u.IsAbs() || u.Host == "":
		return nil, fmt.Errorf("the URL %s is not absolute", quoted(e.Request.URL))
	case e.Request.Method == "":
		return nil, errors.New("there is no method")
	case e.Response.Status < 200 || e.Response.Status > 999:
		return nil, fmt.Errorf("%d is not the status of an answer", e.Response.Status)
	}
	r := &Recording{
		Method: e.Request.Method, URL: u, RequestHeader: headerOf(e.Request.Headers), Status: e.Response.Status,
		Header: headerOf(e.Response.Headers), Trailer: headerOf(e.Response.Trailers), proto: e.Response.HTTPVersion, reason: e.Response.StatusText,
	}
	if post := e.Request.PostData; post != nil {
		if r.RequestBody, err = post.Bytes(); err != nil {
			return nil, err
		}
		r.incomplete = post.Incomplete
	}
	if r.Body, err = e.Response.Content.Bytes(); err != nil {
		return nil, err
	}
	for what, body := range map[string][]byte{"request": r.RequestBody, "answer": r.Body} {
		if int64(len(body)) > c.cfg.MaxBodyBytes {
			return nil, fmt.Errorf("the body of the %s is larger than %d bytes: see CassetteConfig.MaxBodyBytes", what, c.cfg.MaxBodyBytes)
		}
	}
	if r.Method != http.MethodHead && r.Status != http.StatusNotModified {
		r.Header.Del("Content-Encoding") // browsers keep it beside content that they have decoded
		r.Header.Del("Content-Length")
	}
	r.RequestHeader.Del("Content-Length")
	if len(r.RequestBody) > 0 {
		r.RequestHeader.Del("Content-Encoding")
	}
	if !strings.HasPrefix(r.proto, "HTTP/") {
		r.proto = "HTTP/1.1"
	}
	return r, nil
}

// ofConnection are fields that say something of one connection, or of the moment.
var ofConnection = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Trailer", "Date"}

func headerOf(pairs []har.Pair) http.Header {
	h := make(http.Header)
	for _, p := range pairs {
		if !strings.HasPrefix(p.Name, ":") { // those of HTTP/2 are no fields
			h.Add(p.Name, p.Value)
		}
	}
	for _, name := range ofConnection {
		h.Del(name)
	}
	return h
}

// pairsOf gives a header by name.
func pairsOf(h http.Header) []har.Pair {
	out := []har.Pair{}
	for _, name := range sortedKeys(h) {
		for _, v := range h[name] {
			out = append(out, har.Pair{Name: name, Value: v})
		}
	}
	return out
}

// write puts what was in the file before and what is new into it, in one step.
func (c *Cassette) write(done []*Recording) {
	c.tb.Helper()
	all, err := c.hide.all(append(c.loaded[:len(c.loaded):len(c.loaded)], done...))
	var data []byte
	if err == nil {
		data, err = c.encode(all)
	}
	if err == nil {
		err = replaceFile(c.path, data)
	}
	if err != nil {
		c.tb.Errorf("parleytest: cassette %s is not written: %v", c.path, err)
		return
	}
	c.tb.Logf("parleytest: cassette %s: %d answers recorded", c.path, len(done))
	if names := hiddenHeaders(all); len(names) > 0 {
		c.tb.Logf("parleytest: cassette %s: hidden in answers: %s; what the test needs is shown by CassetteConfig.Redaction.ShowHeaders",
			c.path, strings.Join(names, ", "))
	}
}

// hiddenHeaders names the headers of answers whose values are not there when they are
// replayed.
func hiddenHeaders(all []*Recording) []string {
	names := make(map[string]bool)
	for _, r := range all {
		for name, values := range r.Header {
			if slices.Contains(values, parley.Hidden) {
				names[name] = true
			}
		}
	}
	return sortedKeys(names)
}

// encode gives the file.
func (c *Cassette) encode(all []*Recording) ([]byte, error) {
	at := c.recorded
	if at.IsZero() || at.Equal(noTime) {
		at = time.Now()
	}
	at = at.UTC().Truncate(time.Second)
	archive := &har.File{Log: har.Log{
		Version: har.Version, Creator: cassetteCreator, Entries: []har.Entry{}, Recorded: &at,
		Comment: "a cassette of parleytest, without times and secrets; " + CassetteVariable + "=record records it anew",
	}}
	for _, r := range all {
		c.tidy(r)
		archive.Log.Entries = append(archive.Log.Entries, r.entry())
	}
	var b bytes.Buffer
	if err := har.Encode(&b, archive); err != nil {
		return nil, err
	}
	if int64(b.Len()) > c.cfg.MaxBytes {
		return nil, fmt.Errorf("it would be larger than %d bytes: see CassetteConfig.MaxBytes", c.cfg.MaxBytes)
	}
	return b.Bytes(), har.Check(b.Bytes())
}

// tidy leaves out what each recording would change, and what follows from the rest.
func (c *Cassette) tidy(r *Recording) {
	for _, name := range ofConnection {
		r.RequestHeader.Del(name)
		r.Header.Del(name)
	}
	if strings.HasPrefix(r.RequestHeader.Get("User-Agent"), "parley/") && !c.matches("User-Agent") {
		r.RequestHeader.Del("User-Agent") // it names the version
	}
	if r.Method != http.MethodHead && r.Status != http.StatusNotModified {
		r.Header.Del("Content-Length")
	}
}

// matches reports whether a header of requests is compared.
func (c *Cassette) matches(name string) bool {
	return slices.ContainsFunc(c.cfg.MatchHeaders, func(s string) bool { return strings.EqualFold(s, name) })
}

// entry gives a recording in the form of an archive.
func (r *Recording) entry() har.Entry {
	e := har.Entry{Started: noTime, Timings: har.Timings{Blocked: -1, DNS: -1, Connect: -1, SSL: -1}}
	e.Request = har.Request{
		Method: r.Method, URL: r.URL.String(), HTTPVersion: r.proto, Cookies: []har.Cookie{}, Headers: pairsOf(r.RequestHeader),
		QueryString: []har.Pair{}, HeadersSize: -1, BodySize: int64(len(r.RequestBody)),
	}
	for pair := range strings.SplitSeq(r.URL.RawQuery, "&") {
		if name, value, _ := strings.Cut(pair, "="); name != "" {
			e.Request.QueryString = append(e.Request.QueryString, har.Pair{Name: unescaped(name), Value: unescaped(value)})
		}
	}
	if len(r.RequestBody) > 0 || r.incomplete {
		text, encoding := bodyText(r.RequestBody)
		e.Request.PostData = &har.PostData{MimeType: r.RequestHeader.Get("Content-Type"), Text: text, Encoding: encoding, Incomplete: r.incomplete}
	}
	e.Response = har.Response{
		Status: r.Status, StatusText: r.reason, HTTPVersion: r.proto, Cookies: []har.Cookie{}, Headers: pairsOf(r.Header),
		RedirectURL: r.Header.Get("Location"), HeadersSize: -1, BodySize: int64(len(r.Body)), Trailers: pairsOf(r.Trailer),
	}
	e.Response.Content = har.Content{Size: int64(len(r.Body)), MimeType: r.Header.Get("Content-Type")}
	if e.Response.Content.MimeType == "" {
		e.Response.Content.MimeType = "x-unknown"
	}
	e.Response.Content.Text, e.Response.Content.Encoding = bodyText(r.Body)
	return e
}

// unescaped gives what a part of a query says, or that itself where it is malformed.
func unescaped(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// bodyText gives a body as it stands in an archive: as text if it is some.
func bodyText(b []byte) (text, encoding string) {
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		if r == utf8.RuneError && n == 1 || unicode.IsControl(r) && !strings.ContainsRune("\t\n\r", r) {
			return base64.StdEncoding.EncodeToString(b), "base64"
		}
		rest = rest[n:]
	}
	return string(b), ""
}

// replaceFile writes a file that takes the place of an older one once it is whole and on
// the disk. The folder is made if need be.
func replaceFile(path string, data []byte) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil { // of the failures the first one says what went wrong
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
