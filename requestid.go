package parley

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/textproto"
	"slices"

	"github.com/seed-0474a412/parley/internal/h1"
)

// DefaultRequestIDHeader is the header of [WithRequestID] where nothing else is said.
const DefaultRequestIDHeader = "X-Request-Id"

// RequestID says how calls get an id: see [WithRequestID]. The zero value is the default.
type RequestID struct {
	// Header bears the id. Default X-Request-Id.
	Header string
	// From gives the id of a call, for example the one of the request that a server
	// works on, from its context. nil, or an id of "": a new one, 128 random bits in
	// hexadecimal. It must be safe for concurrent use.
	From func(ctx context.Context) string
}

// WithRequestID gives each call an id, by which its traces at both ends are found. It is
// sent as a header, the same for all requests of the call on its origin: redirects,
// challenges and further tries. To other origins it does not go, unless [WithTrustedOrigins]
// names them or [WithRedirectHeaders] the header. Logs and recordings of the call
// name it, and the request of a response has it in its header. An id that the request has in
// that header already stands. One that cannot be sent fails the call with ErrInvalidHeader.
func WithRequestID(r RequestID) Option {
	if r.Header == "" {
		r.Header = DefaultRequestIDHeader
	}
	own := &requestID{name: textproto.CanonicalMIMEHeaderKey(r.Header), from: r.From}
	return option(func(s *settings) error {
		if err := h1.CheckField(own.name, ""); err != nil {
			return because(ErrInvalidHeader, err)
		}
		if slices.Contains(neverCrossing, own.name) {
			return failed("WithRequestID: the header %s has another meaning", own.name)
		}
		s.see(func(how *sight) {
			how.id = own
			how.redaction = (&redaction{headers: []string{own.name}}).over(how.redaction) // it is there to be seen
		})
		return nil
	})
}

// WithoutRequestID gives calls no id, whatever was said before.
func WithoutRequestID() Option {
	return option(func(s *settings) error {
		s.see(func(how *sight) { how.id = &requestID{} })
		return nil
	})
}

// requestID is what a RequestID says; without a name it says that there is none.
type requestID struct {
	name string
	from func(context.Context) string
}

// identify gives the request its id.
func (s *sight) identify(ctx context.Context, k *call) (id string, err error) {
	req := &k.req
	if s.id == nil || s.id.name == "" {
		return "", nil
	}
	if given := req.Header.Get(s.id.name); given != "" {
		return given, nil
	}
	if s.id.from != nil {
		k.rec.direct = false // it may take its time
		id = s.id.from(ctx)
	}
	if id == "" {
		var random [16]byte
		rand.Read(random[:]) // never fails: it ends the program instead
		id = hex.EncodeToString(random[:])
	}
	if err := h1.CheckField(s.id.name, id); err != nil {
		return "", buildError(req.Method, req.URL, because(ErrInvalidHeader, err))
	}
	*req = *withHeader(req, s.id.name, id)
	return id, nil
}
