package parley

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ContentCoding is a way to code content (RFC 9110, section 8.4.1), for
// [WithContentCoding].
type ContentCoding struct {
	// Name is the token that stands in Accept-Encoding and Content-Encoding, in any
	// case; "identity" and "*" are none.
	Name string
	// Decode gives a reader of the plain content of r. It is called when a body is first
	// read, and not at all for one without a byte. What it returns is closed once,
	// before r's connection is used for anything else, and must not use r after that.
	// A failure of it, or of its reader, is ErrDecoding. nil: answers are not decoded
	// by it.
	Decode func(r io.Reader) (io.ReadCloser, error)
	// Encode gives a writer that codes what is written to it and writes that to w; Close
	// writes what is left and does not close w. nil: requests are not coded by it.
	Encode func(w io.Writer) (io.WriteCloser, error)
}

// String names the coding: <ContentCoding br>.
func (c ContentCoding) String() string { return "<ContentCoding " + quoteBad(c.Name, 32) + ">" }

// Format prints String for all verbs.
func (c ContentCoding) Format(s fmt.State, verb rune) { printSafe(s, verb, c.String()) }

// WithContentCoding adds a content coding to those that the session knows: gzip,
// deflate, br and zstd. One with Decode is asked for in Accept-Encoding, after the
// others, where that is not the caller's own. A coding that is known already, also one
// of parley's own, is replaced in so far as c gives Decode or Encode. Both functions
// are called by any number of goroutines at once.
func WithContentCoding(c ContentCoding) ClientOption {
	return clientOption(func(cfg *clientConfig) error {
		c := c
		c.Name = strings.ToLower(c.Name)
		switch {
		case !httpguts.ValidHeaderFieldName(c.Name) || c.Name == "identity" || c.Name == "*":
			return failed("WithContentCoding: %q cannot be the name of a coding: it needs a token such as \"br\"", quoteBad(c.Name, 32))
		case c.Decode == nil && c.Encode == nil:
			return failed("WithContentCoding: %s has neither Decode nor Encode", c.Name)
		}
		cfg.conduct.codings = cfg.conduct.codings.with(c)
		if c.Decode != nil {
			cfg.askAlso(c.Name)
		}
		return nil
	})
}

// codings are the content codings that a session was given.
type codings []ContentCoding

// with gives a list with c in it, never changing list itself.
func (list codings) with(c ContentCoding) codings {
	i := slices.IndexFunc(list, func(known ContentCoding) bool { return known.Name == c.Name })
	if i < 0 {
		return append(slices.Clip(list), c)
	}
	list = slices.Clone(list)
	if c.Decode != nil {
		list[i].Decode = c.Decode
	}
	if c.Encode != nil {
		list[i].Encode = c.Encode
	}
	return list
}

// codings gives what the session that made the request was given.
func (r *Request) codings() codings {
	if r.conduct == nil {
		return nil
	}
	return r.conduct.codings
}

// named gives the coding of a name in lower case; its functions are nil for one that
// the session was not given.
func (list codings) named(name string) ContentCoding {
	for _, c := range list {
		if c.Name == name {
			return c
		}
	}
	return ContentCoding{Name: name}
}

// askAlso puts a coding into Accept-Encoding where parley writes that.
func (cfg *clientConfig) askAlso(name string) {
	asked := cfg.header["Accept-Encoding"]
	if cfg.ownEncoding || len(asked) != 1 {
		return
	}
	for known := range strings.SplitSeq(asked[0], ",") {
		if strings.Trim(known, " ") == name {
			return
		}
	}
	cfg.header["Accept-Encoding"] = []string{asked[0] + ", " + name}
}
