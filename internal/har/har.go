// Package har reads and writes HTTP archives: HAR 1.2, the JSON in which browsers keep
// what they saw of requests and answers, described at
// http://www.softwareishard.com/blog/har-12-spec/.
package har

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"time"
)

// Version is the version of the format.
const Version = "1.2"

// File is a whole archive.
type File struct {
	Log Log `json:"log"`
}

// Log holds the entries, the oldest first.
type Log struct {
	Version string  `json:"version"`
	Creator Creator `json:"creator"`
	Entries []Entry `json:"entries"`
	Comment string  `json:"comment,omitempty"`
	// Recorded is when a cassette was recorded, which leaves the time of each entry out.
	Recorded *time.Time `json:"_recorded,omitempty"`
}

// Creator names the program that wrote the archive.
type Creator struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

// Entry is one request with its answer.
type Entry struct {
	Started    time.Time `json:"startedDateTime"`
	Time       float64   `json:"time"` // of all Timings, in milliseconds
	Request    Request   `json:"request"`
	Response   Response  `json:"response"`
	Cache      struct{}  `json:"cache"`
	Timings    Timings   `json:"timings"`
	ServerIP   string    `json:"serverIPAddress,omitempty"`
	Connection string    `json:"connection,omitempty"`
	Comment    string    `json:"comment,omitempty"`
}

// Request is what was sent. Sizes are in bytes, -1 where they are not known.
type Request struct {
	Method      string    `json:"method"`
	URL         string    `json:"url"`
	HTTPVersion string    `json:"httpVersion"`
	Cookies     []Cookie  `json:"cookies"`
	Headers     []Pair    `json:"headers"`
	QueryString []Pair    `json:"queryString"`
	PostData    *PostData `json:"postData,omitempty"` // nil: no content
	HeadersSize int64     `json:"headersSize"`
	BodySize    int64     `json:"bodySize"`
}

// Response is what came. Status is 0 where nothing did.
type Response struct {
	Status      int      `json:"status"`
	StatusText  string   `json:"statusText"`
	HTTPVersion string   `json:"httpVersion"`
	Cookies     []Cookie `json:"cookies"`
	Headers     []Pair   `json:"headers"`
	Content     Content  `json:"content"`
	RedirectURL string   `json:"redirectURL"`
	HeadersSize int64    `json:"headersSize"`
	BodySize    int64    `json:"bodySize"`
	// Error is why there is no whole answer. Browsers write it too.
	Error string `json:"_error,omitempty"`
	// Trailers followed the content. The format has no field for them.
	Trailers []Pair `json:"_trailers,omitempty"`
}

// Pair is a header, or a parameter of a query.
type Pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Cookie is a cookie of a request or an answer.
type Cookie struct {
	Name     string `json:"name"`
	Value    string `json:"value"`
	Path     string `json:"path,omitempty"`
	Domain   string `json:"domain,omitempty"`
	Expires  string `json:"expires,omitempty"` // ISO 8601
	HTTPOnly bool   `json:"httpOnly,omitempty"`
	Secure   bool   `json:"secure,omitempty"`
}

// PostData is the content of a request.
type PostData struct {
	MimeType string `json:"mimeType"`
	Text     string `json:"text"`
	// Encoding is "base64" where Text is; the format has no field of its own for that.
	Encoding string `json:"_encoding,omitempty"`
	// Incomplete says that more of it was never sent.
	Incomplete bool   `json:"_incomplete,omitempty"`
	Comment    string `json:"comment,omitempty"`
}

// Content is the content of an answer, decoded.
type Content struct {
	Size        int64  `json:"size"`
	Compression int64  `json:"compression,omitempty"` // bytes that the coding has saved
	MimeType    string `json:"mimeType"`
	Text        string `json:"text,omitempty"`
	Encoding    string `json:"encoding,omitempty"` // "base64" where Text is
	Comment     string `json:"comment,omitempty"`
}

// Timings are in milliseconds, -1 for what did not take place.
type Timings struct {
	Blocked float64 `json:"blocked"`
	DNS     float64 `json:"dns"`
	Connect float64 `json:"connect"` // with SSL
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
	SSL     float64 `json:"ssl"`
}

// Total is the time of an entry: SSL is a part of Connect.
func (t Timings) Total() float64 {
	total := 0.0
	for _, ms := range []float64{t.Blocked, t.DNS, t.Connect, t.Send, t.Wait, t.Receive} {
		total += max(ms, 0)
	}
	return math.Round(total*1000) / 1000
}

// Milliseconds gives d as the format counts.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond)) / float64(time.Millisecond)
}

// Encode writes an archive.
func Encode(w io.Writer, f *File) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(f)
}

// Decode reads an archive of any program, of no more than limit bytes. What it does not
// know is left out. An archive of another version than 1.x is an error.
func Decode(r io.Reader, limit int64) (*File, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("HTTP archive: larger than %d bytes", limit)
	}
	var f File
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("HTTP archive: %w", err)
	}
	if v := f.Log.Version; len(v) < 2 || v[:2] != "1." {
		return nil, errors.New("HTTP archive: no log of version 1.x")
	}
	return &f, nil
}

// Bytes gives the content of a request.
func (p *PostData) Bytes() ([]byte, error) {
	if p == nil {
		return nil, nil
	}
	return plain(p.Text, p.Encoding)
}

// Bytes gives the content of an answer.
func (c *Content) Bytes() ([]byte, error) { return plain(c.Text, c.Encoding) }

func plain(text, encoding string) ([]byte, error) {
	switch encoding {
	case "":
		return []byte(text), nil
	case "base64":
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, fmt.Errorf("HTTP archive: content: %w", err)
		}
		return data, nil
	}
	return nil, fmt.Errorf("HTTP archive: content in the unknown encoding %q", encoding)
}
