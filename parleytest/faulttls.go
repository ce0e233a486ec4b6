package parleytest

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// TLSFault is what is wrong with the TLS of a [FaultServer].
type TLSFault uint8

// The faults of TLS. But for the first, none of the scripts is played if the client does
// what it should.
const (
	TLSGood             TLSFault = iota // nothing
	TLSExpired                          // the certificate has expired
	TLSNotYetValid                      // the certificate begins to be valid tomorrow
	TLSWrongName                        // the certificate is for another name
	TLSUnknownAuthority                 // the certificate is signed by an authority that nobody trusts
	TLSOldVersion                       // the server speaks TLS 1.0 and 1.1 alone
	TLSHandshakeCut                     // the connection is closed when the client has begun the handshake
	TLSHandshakeReset                   // it is reset then
	TLSHandshakeStall                   // it is silent from then on
	TLSGarbage                          // the server answers the handshake with what is no TLS
)

// tlsServer is the TLS of a FaultServer.
type tlsServer struct {
	fault  TLSFault
	config *tls.Config
	roots  *x509.CertPool
}

func newTLSServer(tb testing.TB, fault TLSFault) *tlsServer {
	tb.Helper()
	authority := wiretest.NewAuthority(tb)
	t := &tlsServer{fault: fault, roots: authority.Roots()}
	name := "127.0.0.1"
	var change func(*x509.Certificate)
	switch fault {
	case TLSGood, TLSHandshakeCut, TLSHandshakeReset, TLSHandshakeStall, TLSGarbage, TLSOldVersion:
	case TLSExpired:
		change = func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, -2), time.Now().AddDate(0, 0, -1)
		}
	case TLSNotYetValid:
		change = func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter = time.Now().AddDate(0, 0, 1), time.Now().AddDate(0, 0, 2)
		}
	case TLSWrongName:
		name = "other.example.com"
	case TLSUnknownAuthority:
		t.roots = wiretest.NewAuthority(tb).Roots()
	default:
		tb.Fatalf("parleytest: there is no TLSFault %d", fault)
	}
	t.config = &tls.Config{Certificates: []tls.Certificate{authority.Issue(tb, change, name)}}
	if fault == TLSOldVersion {
		t.config.MinVersion, t.config.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	}
	return t
}

// shakeHands does the handshake, and reports whether it succeeded.
func (t *tlsServer) shakeHands(c *FaultConn) bool {
	switch t.fault {
	case TLSHandshakeCut, TLSHandshakeReset, TLSHandshakeStall, TLSGarbage:
		if err := readRecord(c); err != nil {
			return false
		}
		switch t.fault {
		case TLSHandshakeReset:
			c.Reset()
		case TLSHandshakeStall:
			_, _ = io.Copy(io.Discard, c.raw) // until the client is gone or the server ends
		case TLSGarbage:
			c.Say("HTTP/1.1 400 Bad Request\r\n\r\n")
		}
		return false
	}
	conn := tls.Server(c.raw, t.config)
	if conn.Handshake() != nil { // as the client wants it
		return false
	}
	c.conn = conn
	return true
}

// readRecord reads the first record of a handshake (RFC 8446, section 5.1).
func readRecord(c *FaultConn) error {
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.raw, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c.raw, int64(head[3])<<8|int64(head[4])); err != nil {
		return fmt.Errorf("the first record of TLS: %w", err)
	}
	return nil
}
