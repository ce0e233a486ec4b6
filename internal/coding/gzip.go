package coding

import (
	"bufio"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// maxEmptyMembers bounds the members without content that a gzip body may have.
// Tools that join files leave a few; any number of them costs time and gives nothing.
const maxEmptyMembers = 1000

// gunzip decodes gzip (RFC 1952): any number of members, one after the other.
type gunzip struct {
	z  gzip.Reader
	br bufio.Reader // lasts from one member to the next

	members int
	inside  bool // a member was begun
	content bool // it has given something
	empty   int  // members that gave nothing
}

var gunzips = sync.Pool{New: func() any {
	g := new(gunzip)
	g.br = *bufio.NewReaderSize(nil, sourceBuffer)
	return g
}}

// sourceBuffer is how much is read from a source at once.
const sourceBuffer = 16 << 10

func openGzip(r io.Reader) (io.ReadCloser, error) {
	g := gunzips.Get().(*gunzip)
	g.br.Reset(r)
	return g, nil
}

// Close gives the decoder back.
func (g *gunzip) Close() error {
	g.br.Reset(nil)
	g.z.Header = gzip.Header{}
	g.members, g.inside, g.content, g.empty = 0, false, false, 0
	gunzips.Put(g)
	return nil
}

// Read reads from one member after the other.
func (g *gunzip) Read(p []byte) (int, error) {
	for {
		if !g.inside {
			if err := g.begin(); err != nil {
				return 0, err
			}
		}
		n, err := g.z.Read(p)
		g.content = g.content || n > 0
		if err != io.EOF {
			return n, err
		}
		g.inside = false
		if !g.content {
			if g.empty++; g.empty > maxEmptyMembers {
				return 0, fmt.Errorf("more than %d members without content", maxEmptyMembers)
			}
		}
		if n > 0 {
			return n, nil
		}
	}
}

// begin reads the header of the next member; io.EOF says that there is none. What follows
// a member and is none is dropped, as browsers do: some servers and tools fill up with
// zeros, or write a line end.
func (g *gunzip) begin() error {
	if g.members > 0 {
		if member, err := g.another(); !member {
			return err
		}
	}
	if err := g.z.Reset(&g.br); err != nil {
		return early(err)
	}
	g.z.Multistream(false)
	g.members++
	g.inside, g.content = true, false
	return nil
}

// another reports whether a further member begins; if not, err says how the source ended.
func (g *gunzip) another() (member bool, err error) {
	magic, err := g.br.Peek(2)
	switch {
	case len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return true, nil
	case len(magic) == 1 && magic[0] == 0x1f && err == io.EOF:
		return false, io.ErrUnexpectedEOF // the first half of a member's first two bytes
	case len(magic) < 2 && err != io.EOF:
		return false, err
	}
	if _, err := g.br.WriteTo(io.Discard); err != nil {
		return false, err
	}
	return false, io.EOF
}
