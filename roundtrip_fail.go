package parley

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
)

// failure gives an error of the http.RoundTripper its kind, phase and Sent.
func (f *roundTrip) failure(phase Phase, err error) error {
	if e := f.ended(phase, f.source(), err); e != nil {
		return e
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err // of this package, from further down
	}
	sent := f.watch.sent()
	phase, unsent, kind := kindOf(phase, sent, err)
	if unsent && sent == MaybeSent {
		sent = NotSent
	}
	if kind != nil {
		err = because(kind, err)
	}
	return f.fail(phase, sent, err)
}

// kindOf tells the kinds of net/http's errors apart. unsent says that nothing of the
// request can have been sent.
func kindOf(phase Phase, sent Sent, err error) (in Phase, unsent bool, kind error) {
	var op *net.OpError
	var timeout net.Error
	var text textproto.ProtocolError
	late := errors.As(err, &timeout) && timeout.Timeout()
	switch isOp := errors.As(err, &op); {
	case errors.Is(err, ErrRemoteProtocol):
		return phase, false, nil
	case isOp && op.Op == "proxyconnect":
		return PhaseConnect, true, ErrProxy
	case isOp && op.Op == "dial", errors.As(err, new(*net.DNSError)):
		if late {
			return PhaseConnect, true, ErrConnectTimeout
		}
		return PhaseConnect, true, ErrConnect
	case isTLSError(err):
		return PhaseConnect, phase == PhaseConnect, ErrTLS
	case late:
		switch phase {
		case PhaseConnect:
			return phase, true, ErrConnectTimeout
		case PhaseRead:
			return phase, false, ErrReadTimeout
		}
		return phase, false, ErrResponseTimeout
	case phase == PhaseConnect:
		return phase, true, ErrConnect
	case phase == PhaseResponse && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)), phase == PhaseRead && errors.Is(err, io.EOF):
		return phase, false, ErrPeerClosed
	case phase == PhaseResponse && isReset(err):
		return phase, false, because(ErrRead, ErrPeerClosed)
	case isOp && op.Op == "write":
		return PhaseWrite, false, ErrWrite
	case isOp, phase == PhaseRead:
		return phase, false, ErrRead
	case errors.As(err, &text), sent == Answering && phase == PhaseResponse:
		return phase, false, ErrRemoteProtocol
	}
	return phase, false, nil
}

// isTLSError reports whether err is about TLS or certificates.
func isTLSError(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.As(err, new(tls.AlertError)) || errors.As(err, new(x509.UnknownAuthorityError)) ||
		errors.As(err, new(x509.HostnameError)) || errors.As(err, new(x509.CertificateInvalidError)) ||
		errors.Is(err, http.ErrSchemeMismatch)
}
