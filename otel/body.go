package parleyotel

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/seed-0474a412/parley"
)

var (
	errPanic      = errors.New("a panic")
	errNoResponse = errors.New("a transport or middleware returned neither a response nor an error")
)

// body tells when the body of an answer has ended or is closed.
type body struct {
	io.ReadCloser
	done func(read int64, err error)
	once sync.Once
	read int64
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch err {
	case nil:
	case io.EOF:
		b.once.Do(func() { b.done(b.read, nil) })
	default:
		b.once.Do(func() { b.done(-1, err) })
	}
	return n, err
}

// Close may be called beside a Read that waits, which then counts for nothing.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.once.Do(func() { b.done(-1, nil) })
	return err
}

// peer gives the attributes of the other end of the connection.
func peer(addr net.Addr) []attribute.KeyValue {
	if at, err := netip.ParseAddrPort(addr.String()); err == nil {
		return []attribute.KeyValue{semconv.NetworkPeerAddress(at.Addr().String()), semconv.NetworkPeerPort(int(at.Port()))}
	}
	return []attribute.KeyValue{semconv.NetworkPeerAddress(addr.String())}
}

// kinds are the kinds of parley's errors, the narrow ones before those that hold them.
var kinds = []struct {
	err  error
	name string
}{
	{parley.ErrPoolTimeout, "pool_timeout"},
	{parley.ErrConnectTimeout, "connect_timeout"},
	{parley.ErrWriteTimeout, "write_timeout"},
	{parley.ErrResponseTimeout, "response_timeout"},
	{parley.ErrReadTimeout, "read_timeout"},
	{parley.ErrTooSlow, "too_slow"},
	{parley.ErrTotalTimeout, "total_timeout"},
	{parley.ErrTimeout, "timeout"},
	{parley.ErrAddressRefused, "address_refused"},
	{parley.ErrPublicKeyPin, "public_key_pin"},
	{parley.ErrTLS, "tls"},
	{parley.ErrProxy, "proxy"},
	{parley.ErrConnect, "connect"},
	{parley.ErrPeerClosed, "peer_closed"},
	{parley.ErrBodyTooLarge, "body_too_large"},
	{parley.ErrDecoding, "decoding"},
	{parley.ErrIntegrity, "integrity"},
	{parley.ErrTooManyRedirects, "too_many_redirects"},
	{parley.ErrInsecureRedirect, "insecure_redirect"},
	{parley.ErrRedirectRefused, "redirect_refused"},
	{parley.ErrBodyNotRewindable, "body_not_rewindable"},
	{parley.ErrInvalidHeader, "invalid_header"},
	{parley.ErrLocalProtocol, "local_protocol"},
	{parley.ErrRemoteProtocol, "remote_protocol"},
	{parley.ErrInvalidURL, "invalid_url"},
	{parley.ErrUnsupportedProtocol, "unsupported_protocol"},
	{parley.ErrAuth, "auth"},
	{parley.ErrClientClosed, "client_closed"},
	{parley.ErrRead, "read"},
	{parley.ErrWrite, "write"},
	{parley.ErrNetwork, "network"},
}

// errorType gives error.type: one of few words.
func errorType(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.name
		}
	}
	return semconv.ErrorTypeOther.Value.AsString()
}
