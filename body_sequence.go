package parley

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"sync/atomic"
)

// ChunksBody gives the byte slices of an iterator, sent as they come: each is written
// before the next one is asked for, in a chunk of its own over HTTP/1.1 (one larger than
// 64 KiB in several), so that the server sees it at once. Empty slices are skipped. A
// slice may be changed once the iterator is asked for the next one. An error of the
// iterator fails the request and stays reachable in its error.
//
// The length is not known and there is no content type. The body is sent once, as most
// iterators can be ranged over once: see [Rewindable]. The iterator runs on a goroutine
// of the sender, and is left (yield gives false) if the request ends before it does; while
// it waits for something it is not, so that what waits should end with the context of the
// call.
func ChunksBody(seq iter.Seq2[[]byte, error]) Body {
	return &seqBody{used: new(atomic.Bool), chunks: func(jsonEncoder) iter.Seq2[[]byte, error] { return seq }}
}

// WithChunks sends the byte slices of an iterator as they come: see [ChunksBody].
func WithChunks(seq iter.Seq2[[]byte, error]) RequestOption { return WithBody(ChunksBody(seq)) }

// JSONLinesBody gives the values of an iterator as lines of JSON, sent as they come: see
// [ChunksBody] for how. Every line, also the last, ends with LF. They are encoded by the
// encoder of the request ([WithJSONEncoder]), outside of one as [JSONBody] does; one
// whose JSON has line breaks in it fails the request, as does a value that cannot be
// encoded.
//
// The content type is application/x-ndjson. Neither that nor application/jsonl is
// registered, but it is the one that servers ask for which are strict about it.
func JSONLinesBody[T any](seq iter.Seq[T]) Body {
	return JSONLinesBody2(func(yield func(T, error) bool) {
		for v := range seq {
			if !yield(v, nil) {
				return
			}
		}
	})
}

// JSONLinesBody2 is [JSONLinesBody] for an iterator that can fail, such as one over the
// rows of a database or what [JSONLines] gives. Its error fails the request.
func JSONLinesBody2[T any](seq iter.Seq2[T, error]) Body {
	lines := func(encode jsonEncoder) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for v, err := range seq {
				var line []byte
				if err == nil {
					line, err = encode.line(v)
				}
				if !yield(line, err) || err != nil {
					return
				}
			}
		}
	}
	return &seqBody{typ: "application/x-ndjson", used: new(atomic.Bool), chunks: lines}
}

// WithJSONLines sends the values of an iterator as lines of JSON: see [JSONLinesBody].
func WithJSONLines[T any](seq iter.Seq[T]) RequestOption { return WithBody(JSONLinesBody(seq)) }

// WithJSONLines2 sends the values of an iterator that can fail: see [JSONLinesBody2].
func WithJSONLines2[T any](seq iter.Seq2[T, error]) RequestOption {
	return WithBody(JSONLinesBody2(seq))
}

// line encodes v as one line.
func (e jsonEncoder) line(v any) ([]byte, error) {
	b, err := e.encode(v)
	if err != nil {
		return nil, err
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	if bytes.ContainsAny(b, "\r\n") {
		return nil, fmt.Errorf("encode %T as a line of JSON: the encoder breaks lines", v)
	}
	return append(b, '\n'), nil
}

// Rewindable says that the iterator of a body can be ranged over any number of times,
// each time giving the same, such as one over a slice that nobody changes. The body can
// then be sent again, to follow a redirect or to answer a challenge. It is for what
// [ChunksBody] and [JSONLinesBody] give; other bodies know what they can, and are
// returned as they are.
func Rewindable(b Body) Body {
	s, ok := b.(*seqBody)
	if !ok {
		return b
	}
	again := *s
	again.used = nil
	return &again
}

// seqBody is a body that is made piece by piece while it is sent.
type seqBody struct {
	typ    string
	chunks func(jsonEncoder) iter.Seq2[[]byte, error]
	encode jsonEncoder
	used   *atomic.Bool // nil: can be ranged over again
}

func (b *seqBody) Size() int64         { return -1 }
func (b *seqBody) ContentType() string { return b.typ }
func (b *seqBody) Replayable() bool    { return b.used == nil }
func (b *seqBody) untouched() bool     { return b.used == nil || !b.used.Load() }
func (b *seqBody) settle(how *conduct) (Body, error) {
	own := *b
	own.encode = how.encoder()
	return &own, nil
}

func (b *seqBody) Open() (io.ReadCloser, error) {
	if b.used != nil && b.used.Swap(true) {
		return nil, fmt.Errorf("%w: an iterator is ranged over once only; say Rewindable of one that gives the same again", ErrBodyNotRewindable)
	}
	return &seqReader{seq: b.chunks(b.encode)}, nil
}

// Format names the content type for all verbs.
func (b *seqBody) Format(s fmt.State, verb rune) {
	printSafe(s, verb, "<Body of an iterator "+b.typ+">")
}

// seqReader reads from an iterator.
type seqReader struct {
	seq    iter.Seq2[[]byte, error]
	closed atomic.Bool

	mu   sync.Mutex // of the one that reads
	next func() ([]byte, error, bool)
	stop func()
	rest []byte // of the last slice
	err  error  // what every further Read gives
}

var errReadAfterClose = errors.New("read after Close")

// Read gives what the iterator gave last, and asks for no more before that was read.
// It is for one goroutine at a time; Close may run meanwhile.
func (r *seqReader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	if r.closed.Load() {
		r.leave() // Close could not
	}
	return n, err
}

func (r *seqReader) read(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.next == nil {
		r.next, r.stop = iter.Pull2(r.seq)
	}
	for len(r.rest) == 0 {
		switch {
		case r.closed.Load():
			return 0, errReadAfterClose
		case r.err != nil || len(p) == 0:
			return 0, r.err
		}
		b, err, more := r.next()
		r.rest = b
		switch {
		case err != nil:
			r.rest, r.err = nil, err
		case !more:
			r.err = io.EOF
		}
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Close leaves the iterator, at once or as soon as it yields.
func (r *seqReader) Close() error {
	r.closed.Store(true)
	r.leave()
	return nil
}

// leave ends the iterator unless it runs right now.
func (r *seqReader) leave() {
	if !r.mu.TryLock() {
		return
	}
	defer r.mu.Unlock()
	if r.stop != nil {
		r.stop()
	}
}
