package parley

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"reflect"
	"slices"
	"strings"
	"time"
)

// tlsFault says in words what was wrong with a handshake. The error beneath stays
// reachable, but is not part of the text: a certificate may have any number of names.
type tlsFault struct {
	host, what string
	err        error
}

func (f *tlsFault) Error() string { return f.host + ": " + f.what }

func (f *tlsFault) Unwrap() error { return f.err }

// maxNames is how many names of a certificate an error shows.
const maxNames = 5

// explainTLS puts the failure of a handshake with host into words. trust names the option
// that says who is to be trusted.
func explainTLS(host, trust string, err error) error {
	what := ""
	var invalid x509.CertificateInvalidError
	var hostname x509.HostnameError
	var unknown x509.UnknownAuthorityError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &invalid):
		what = invalidCertificate(&invalid)
	case errors.As(err, &hostname):
		what = "its certificate is for " + namesOf(hostname.Certificate) + ", not for this name"
	case errors.As(err, &unknown):
		what = unknownAuthority(unknown.Cert, trust)
	case errors.As(err, &record):
		what = "it does not speak TLS; is it an http:// URL?"
	case refusedByPeer(err):
		what = refusal(err)
	default:
		what = quoteBad(err.Error(), 256)
	}
	return &tlsFault{host: host, what: what, err: err}
}

// invalidCertificate says what is wrong with a certificate in itself.
func invalidCertificate(err *x509.CertificateInvalidError) string {
	cert := err.Cert
	now := time.Now()
	switch {
	case err.Reason != x509.Expired || cert == nil:
		return "its certificate is not valid: " + quoteBad(err.Error(), 256)
	case now.After(cert.NotAfter):
		return fmt.Sprintf("its certificate %s expired on %s", subjectOf(cert), cert.NotAfter.UTC().Format(time.DateTime))
	case now.Before(cert.NotBefore):
		return fmt.Sprintf("its certificate %s is not valid before %s; is this machine's clock right?", subjectOf(cert), cert.NotBefore.UTC().Format(time.DateTime))
	}
	return "its certificate is not valid at the time of the check"
}

// unknownAuthority says who signed a certificate.
func unknownAuthority(cert *x509.Certificate, trust string) string {
	advice := "; to trust it, give the authority's certificate to " + trust
	switch {
	case cert == nil:
		return "its certificate is signed by an unknown authority" + advice
	case cert.Issuer.String() == cert.Subject.String():
		return "its certificate " + subjectOf(cert) + " is signed by itself, or by an authority of its own name" + advice
	}
	return "its certificate is signed by an unknown authority, " + quoteBad(cert.Issuer.String(), 128) + advice
}

func subjectOf(cert *x509.Certificate) string { return "(" + quoteBad(cert.Subject.String(), 64) + ")" }

// namesOf lists what a certificate is for.
func namesOf(cert *x509.Certificate) string {
	if cert == nil {
		return "another name"
	}
	var names []string
	all := len(cert.DNSNames) + len(cert.IPAddresses)
	for _, name := range cert.DNSNames[:min(maxNames, len(cert.DNSNames))] {
		names = append(names, quoteBad(name, 64))
	}
	for _, ip := range cert.IPAddresses[:min(maxNames-len(names), len(cert.IPAddresses))] {
		names = append(names, ip.String())
	}
	switch {
	case all == 0:
		return "no name at all (its common name does not count)"
	case all > len(names):
		return fmt.Sprintf("%s and %d more", strings.Join(names, ", "), all-len(names))
	}
	return strings.Join(names, ", ")
}

// refusedByPeer reports whether the peer ended TLS by an alert (RFC 8446, section 6.2).
// With TLS 1.3 it may do so after the handshake, where it wants a client certificate.
func refusedByPeer(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// refusal says by which alert the peer refused, and what it may want.
func refusal(err error) string {
	var op *net.OpError
	if !errors.As(err, &op) || op.Err == nil {
		return "it refused the handshake"
	}
	what := "it refused the handshake: " + quoteBad(op.Err.Error(), 64)
	if slices.Contains(certificateAlerts, alertOf(op)) {
		what += "; it may want a client certificate, see WithClientCert"
	}
	return what
}

// alertOf gives the number of the alert by which the peer ended TLS, 0 for none that is
// an error. Package tls has it in a type of its own.
func alertOf(op *net.OpError) uint64 {
	if v := reflect.ValueOf(op.Err); v.CanUint() {
		return v.Uint()
	}
	return 0
}

// certificateAlerts are how servers answer to a client certificate that is missing or no
// good (RFC 8446, section 6.2): handshake_failure, bad_certificate to
// certificate_unknown, unknown_ca, access_denied, certificate_required.
var certificateAlerts = []uint64{40, 42, 43, 44, 45, 46, 48, 49, 116}

// alertNoProtocol is no_application_protocol (RFC 7301, section 3.2).
const alertNoProtocol = 120

// refusesProtocols reports whether a handshake failed as the server speaks none of the
// protocols that it was offered. Some servers say so; some choose another one all the
// same, for which package tls has no error but a text.
func refusesProtocols(err error) bool {
	var fault *tlsFault
	if !errors.As(err, &fault) || errors.Is(err, ErrProxy) {
		return false
	}
	var op *net.OpError
	if errors.As(err, &op) && refusedByPeer(err) {
		return alertOf(op) == alertNoProtocol
	}
	return fault.err.Error() == "tls: server selected unadvertised ALPN protocol"
}
