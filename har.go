package parley

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/har"
)

// The defaults of [HARConfig].
const (
	DefaultHARBody    = 256 << 10
	DefaultHAREntries = 1000
	DefaultHARBytes   = 32 << 20
)

// HARConfig configures a [HAR]. Zero fields mean the defaults.
type HARConfig struct {
	// MaxBodyBytes bounds what is kept of each body. Default 256 KiB; less than 0: none
	// is kept.
	MaxBodyBytes int64
	// MaxEntries bounds the requests that are kept, the oldest going first. Default 1000.
	MaxEntries int
	// MaxBytes bounds the memory for all of them, heads and bodies, likewise. Default
	// 32 MiB.
	MaxBytes int64
}

// HAR keeps requests and answers as an HTTP archive (HAR 1.2), which the developer tools of
// browsers open. Give it to sessions or requests with [WithHAR], and write what it has
// with [HAR.WriteTo] or [HAR.Save]. What may be a secret is not in it: see
// [WithRedaction]. Make one with [NewHAR]; it is safe for concurrent use.
type HAR struct {
	cfg HARConfig

	mu      sync.Mutex
	entries []har.Entry // the oldest first
	sizes   []int64     // of entries
	bytes   int64
	dropped int
}

// NewHAR makes an archive without entries. No setting of cfg is an error.
func NewHAR(cfg HARConfig) *HAR {
	if cfg.MaxBodyBytes == 0 {
		cfg.MaxBodyBytes = DefaultHARBody
	}
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = DefaultHAREntries
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultHARBytes
	}
	cfg.MaxBodyBytes = max(cfg.MaxBodyBytes, 0)
	return &HAR{cfg: cfg}
}

// WithHAR keeps each request in h, with its answer, redirects, challenges and further
// tries too: once the body of the answer has been read to its end or closed. Several
// sessions may share one. nil takes back what was said before.
func WithHAR(h *HAR) Option {
	if h == nil {
		return seeBy(harSeer, nil)
	}
	return seeBy(harSeer, harWatcher{h})
}

// harWatcher fills a HAR.
type harWatcher struct{ into *HAR }

func (w harWatcher) wants(context.Context) wish {
	return wish{call: true, fields: true, body: w.into.cfg.MaxBodyBytes}
}

func (w harWatcher) sending(*sighting)                  {}
func (w harWatcher) called(context.Context, *callSight) {}
func (w harWatcher) ended(s *sighting)                  { w.into.add(s.entry(w.into.cfg.MaxBodyBytes)) }

// entryOverhead is about what an entry takes up beside its texts.
const entryOverhead = 1 << 10

// add keeps an entry and drops the oldest where there is too much.
func (h *HAR) add(e har.Entry) {
	size := int64(entryOverhead + len(e.Request.URL) + len(e.Response.Content.Text))
	if e.Request.PostData != nil {
		size += int64(len(e.Request.PostData.Text))
	}
	for _, pairs := range [...][]har.Pair{e.Request.Headers, e.Request.QueryString, e.Response.Headers} {
		for _, p := range pairs {
			size += int64(len(p.Name) + len(p.Value))
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries, h.sizes = append(h.entries, e), append(h.sizes, size)
	h.bytes += size
	drop := 0
	for len(h.entries)-drop > h.cfg.MaxEntries || h.bytes > h.cfg.MaxBytes {
		h.bytes -= h.sizes[drop]
		h.entries[drop] = har.Entry{}
		drop++
	}
	h.entries, h.sizes = h.entries[drop:], h.sizes[drop:]
	h.dropped += drop
}

// Len tells how many requests it has.
func (h *HAR) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.entries)
}

// Reset forgets them.
func (h *HAR) Reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.entries, h.sizes, h.bytes, h.dropped = nil, nil, 0, 0
}

// String tells how many requests it has: <HAR of 3 requests>.
func (h *HAR) String() string { return fmt.Sprintf("<HAR of %d requests>", h.Len()) }

// Format prints String for all verbs.
func (h *HAR) Format(s fmt.State, verb rune) { printSafe(s, verb, h.String()) }

// WriteTo writes the archive as JSON. An entry comes in the place in which its answer
// ended.
func (h *HAR) WriteTo(w io.Writer) (int64, error) {
	h.mu.Lock()
	entries, dropped := append([]har.Entry{}, h.entries...), h.dropped
	h.mu.Unlock()
	return writeHAR(w, entries, dropped)
}

// Save writes the archive to a file, which takes the place of an older one in one step
// and can be read and written by its owner only.
func (h *HAR) Save(path string) error {
	err := replaceFile(path, func(w io.Writer) error {
		_, err := h.WriteTo(w)
		return err
	})
	if err != nil {
		return fmt.Errorf("parley: save an HTTP archive to %q: %w", path, err)
	}
	return nil
}

func writeHAR(w io.Writer, entries []har.Entry, dropped int) (int64, error) {
	log := har.Log{Version: har.Version, Creator: har.Creator{Name: "parley", Version: version}, Entries: entries}
	if dropped > 0 {
		log.Comment = fmt.Sprintf("%d older requests were dropped", dropped)
	}
	counted := &countedWriter{w: w}
	if err := har.Encode(counted, &har.File{Log: log}); err != nil {
		return counted.n, fmt.Errorf("parley: write an HTTP archive: %w", err)
	}
	return counted.n, nil
}

type countedWriter struct {
	w io.Writer
	n int64
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// entry gives what was seen in the form of an archive, with no more than limit bytes of
// each body.
func (s *sighting) entry(limit int64) har.Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := har.Entry{Started: s.start, Request: s.archivedRequest(limit), Response: s.archivedResponse(limit), Timings: s.archivedTimings()}
	e.Time = e.Timings.Total()
	if tcp, ok := s.timing.RemoteAddr.(*net.TCPAddr); ok {
		e.ServerIP = tcp.IP.String()
	}
	if tcp, ok := s.timing.LocalAddr.(*net.TCPAddr); ok {
		e.Connection = strconv.Itoa(tcp.Port)
	}
	if s.of.id != "" {
		e.Comment = "request id " + quoteBad(s.of.id, 256)
	}
	return e
}

// unknownHTTP is the version of what was never answered.
const unknownHTTP = "unknown"

func (s *sighting) archivedRequest(limit int64) har.Request {
	r := har.Request{
		Method: strings.Clone(s.req.Method), URL: s.url, HTTPVersion: unknownHTTP, Cookies: []har.Cookie{}, Headers: pairs(s.head),
		QueryString: queryPairs(s.url), HeadersSize: -1, BodySize: s.up.total,
	}
	if s.status != 0 {
		r.HTTPVersion = s.proto
	}
	for _, f := range s.head {
		if strings.EqualFold(f.name, "Cookie") {
			for pair := range strings.SplitSeq(f.value, "; ") {
				name, value, _ := strings.Cut(pair, "=")
				r.Cookies = append(r.Cookies, har.Cookie{Name: name, Value: value})
			}
		}
	}
	if s.up.total > 0 {
		body := s.up.shown(s, limit)
		text, encoding := archivedText(&body)
		r.PostData = &har.PostData{MimeType: s.up.contentType, Text: text, Encoding: encoding, Comment: body.remark()}
	}
	return r
}

func (s *sighting) archivedResponse(limit int64) har.Response {
	r := har.Response{HTTPVersion: unknownHTTP, Cookies: []har.Cookie{}, Headers: []har.Pair{}, HeadersSize: -1, BodySize: -1}
	r.Content.MimeType = "x-unknown" // as browsers have it
	if s.err != nil {
		r.Error = quoteBad(s.err.Error(), maxErrorText)
	}
	if s.status == 0 {
		return r
	}
	r.Status, r.StatusText, r.HTTPVersion = s.status, s.text, s.proto
	r.Headers, r.RedirectURL, r.BodySize = pairs(s.fields), s.location, s.down.total
	for _, f := range s.fields {
		if f.name == "Set-Cookie" {
			if c, err := http.ParseSetCookie(f.value); err == nil {
				r.Cookies = append(r.Cookies, archivedCookie(c))
			}
		}
	}
	if s.down.contentType != "" {
		r.Content.MimeType = s.down.contentType
	}
	body := s.down.shown(s, limit)
	r.Content.Text, r.Content.Encoding = archivedText(&body)
	r.Content.Size, r.Content.Comment = body.total, body.remark()
	if body.coded != "" {
		r.Content.Size = int64(len(body.data))
		if !body.cut && r.Content.Size > body.total {
			r.Content.Compression = r.Content.Size - body.total
		}
	}
	return r
}

func archivedCookie(c *http.Cookie) har.Cookie {
	out := har.Cookie{Name: c.Name, Value: c.Value, Path: c.Path, Domain: c.Domain, HTTPOnly: c.HttpOnly, Secure: c.Secure}
	if !c.Expires.IsZero() {
		out.Expires = c.Expires.UTC().Format(time.RFC3339)
	}
	return out
}

// archivedTimings is the time from when the request was given to the transport.
func (s *sighting) archivedTimings() har.Timings {
	t := s.timing
	out := har.Timings{Blocked: har.Milliseconds(t.Pool), DNS: -1, Connect: -1, SSL: -1}
	if s.status == 0 || t.Total == 0 { // nothing more is known
		out.Wait = har.Milliseconds(s.took)
		return out
	}
	if t.DNS > 0 {
		out.DNS = har.Milliseconds(t.DNS)
	}
	if t.Connect+t.TLS > 0 {
		out.Connect = har.Milliseconds(t.Connect + t.TLS)
	}
	if t.TLS > 0 {
		out.SSL = har.Milliseconds(t.TLS)
	}
	out.Send, out.Wait, out.Receive = har.Milliseconds(t.Write), har.Milliseconds(t.Response), har.Milliseconds(t.Read)
	return out
}

// remark says what is missing or was done to a body; "" for nothing.
func (c *content) remark() string {
	switch {
	case c.note != "":
		return c.note + ": not shown"
	case c.cut && c.coded != "":
		return fmt.Sprintf("the beginning, decoded from %s, of %d bytes", c.coded, c.total)
	case c.cut:
		return fmt.Sprintf("the first %d of %d bytes", len(c.data), c.total)
	}
	return ""
}

// archivedText gives a body as it stands in an archive.
func archivedText(c *content) (text, encoding string) {
	if !isText(c.data, c.cut) {
		return base64.StdEncoding.EncodeToString(c.data), "base64"
	}
	return strings.ToValidUTF8(string(c.data), ""), "" // but for a character that was cut through
}

func pairs(fields []field) []har.Pair {
	out := make([]har.Pair, len(fields))
	for i, f := range fields {
		out[i] = har.Pair{Name: f.name, Value: f.value}
	}
	return out
}

// queryPairs gives the parameters of a URL.
func queryPairs(u string) []har.Pair {
	out := []har.Pair{}
	_, query, _ := strings.Cut(u, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		out = append(out, har.Pair{Name: unescaped(name), Value: unescaped(value)})
	}
	return out
}
