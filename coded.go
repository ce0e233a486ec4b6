package parley

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/seed-0474a412/parley/internal/coding"
)

const (
	// maxBarren bounds what parley's own decoders take in, over all layers of a body,
	// without giving any content: no encoder comes near it, and stacked codings can
	// make as much of nothing as they like out of a few bytes.
	maxBarren = 4 << 20
	// codedSlack is by how much content that is coded once more may be longer than the
	// content itself, with an eighth of its length.
	codedSlack = 64 << 10
)

var errBarren = fmt.Errorf("more than %d bytes without any content", maxBarren)

// codedBody is a body with content codings. Nothing is read before the first Read.
type codedBody struct {
	raw  io.ReadCloser
	resp *Response
	ctx  context.Context

	mu     sync.Mutex
	layers []layer // in the order in which they are undone
	one    [1]layer
	limit  int64 // MaxBodyBytes; 0 or less: none
	barren int64 // taken in since content was given
	err    error
}

// join puts the layers on top of each other.
func (b *codedBody) join(limit int64) {
	var below io.Reader = b.raw
	for i := range b.layers {
		b.layers[i].below, b.layers[i].most = below, math.MaxInt64
		if i > 0 && limit > 0 && limit < math.MaxInt64/2 {
			b.layers[i].most = limit + limit/8 + codedSlack
		}
		below = &b.layers[i]
	}
	b.limit = limit
}

func (b *codedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	fetched := b.layers[0].taken
	n, err := b.layers[len(b.layers)-1].Read(p)
	if n > 0 {
		b.barren = 0
	}
	if err == nil && b.layers[0].taken == fetched && b.ctx.Err() != nil {
		// The connection, which knows by itself, was not asked: a few bytes of it may be
		// worth very much content.
		err = b.resp.fail("read", PhaseRead, contextError(b.ctx))
	}
	if err != nil {
		b.end(err)
	}
	return n, err
}

// end gives the decoders back; err is what reading gives from now on.
func (b *codedBody) end(err error) {
	b.err = err
	for i := range b.layers {
		b.layers[i].release() // what it says adds nothing
	}
}

func (b *codedBody) Close() error {
	err := b.raw.Close() // ends a read that waits, which holds the lock
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.end(b.resp.closedError())
	}
	return err
}

// layer undoes one coding.
type layer struct {
	body  *codedBody
	below io.Reader
	name  string
	open  coding.Open
	own   bool // one of parley's decoders

	dec   io.ReadCloser // nil: not begun, or given back
	first [1]byte       // of what is below
	held  bool          // first has not been given to dec
	taken int64         // bytes from below
	most  int64         // that they may be
	ended error         // what is below has ended with this
	err   error
}

// Read gives decoded bytes. Every error but io.EOF is one that the caller of the response
// may see.
func (l *layer) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.read(p)
	if err == io.EOF {
		if failed := l.release(); failed != nil {
			err = failed
		}
	}
	switch {
	case err == nil:
		return n, nil
	case err == io.EOF, l.ended == nil, l.ended == io.EOF:
		l.err = l.wrap(err)
	default: // the failure is not its own, whatever the decoder makes of it
		l.err = l.ended
	}
	l.release() // err says why
	return n, l.err
}

func (l *layer) wrap(err error) error {
	if err == io.EOF {
		return err
	}
	return l.body.resp.fail("decode", PhaseDecode, because(ErrDecoding, fmt.Errorf("%s: %w", l.name, err)))
}

// read reads from the decoder until that gives something.
func (l *layer) read(p []byte) (int, error) {
	if l.dec == nil {
		if err := l.begin(); err != nil {
			return 0, err
		}
	}
	for idle := 0; ; {
		taken := l.taken
		n, err := l.dec.Read(p)
		if err == io.EOF {
			err = l.rest()
		}
		if n > 0 || err != nil {
			return n, err
		}
		if l.taken > taken {
			idle = 0
		} else if idle++; idle == 2 {
			return 0, io.ErrNoProgress
		}
	}
}

// begin makes the decoder. A body without a byte is taken as the empty content that it is
// meant for by servers which set the header all the same.
func (l *layer) begin() error {
	if _, err := io.ReadFull((*feed)(l), l.first[:]); err != nil {
		return err
	}
	l.held = true
	var err error
	l.dec, err = l.open((*feed)(l))
	if err == nil && l.dec == nil {
		err = errors.New("its Decode gave no reader")
	}
	if err == io.EOF { // of a decoder that reads as it begins
		err = io.ErrUnexpectedEOF
	}
	return err
}

// rest gives io.EOF if nothing is left below, which also tells whether that was whole.
func (l *layer) rest() error {
	var next [1]byte
	if _, err := io.ReadFull((*feed)(l), next[:]); err != nil {
		return err
	}
	return coding.ErrTrailing
}

// release gives the decoder back.
func (l *layer) release() error {
	if l.dec == nil {
		return nil
	}
	dec := l.dec
	l.dec = nil
	return dec.Close()
}

// feed is what the decoder of a layer reads from.
type feed layer

func (f *feed) Read(p []byte) (int, error) {
	l := (*layer)(f)
	switch {
	case len(p) == 0:
		return 0, nil
	case l.held:
		l.held = false
		p[0] = l.first[0]
		return 1, nil
	case l.ended != nil:
		return 0, l.ended
	}
	n, err := l.below.Read(p)
	l.taken += int64(n)
	if l.own {
		l.body.barren += int64(n)
	}
	switch {
	case l.taken > l.most:
		n, err = 0, l.body.resp.tooLarge(l.body.limit)
	case l.body.barren > maxBarren:
		n, err = 0, l.wrap(errBarren)
	}
	l.ended = err
	return n, err
}
