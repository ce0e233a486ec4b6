package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// addresses is where the server listens, and its certificate. It travels as JSON.
type addresses struct {
	Plain string `json:"plain"` // HTTP/1.1; it is a proxy, too
	TLS   string `json:"tls"`   // HTTP/1.1 over TLS
	HTTP2 string `json:"http2"` // HTTP/2 over TLS
	Root  []byte `json:"root"`  // of the latter two, as DER
}

// site is all that the server's process serves.
type site struct {
	at     addresses
	ends   []func() error
	served chan error
}

// openSite listens on ports of the kernel's choice and serves.
func openSite() (*site, error) {
	cert, err := newCertificate()
	if err != nil {
		return nil, fmt.Errorf("making a certificate: %w", err)
	}
	srv := newServer()
	srv.secure = &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}}
	h2 := srv.http2(cert)
	s := &site{at: addresses{Root: cert.Certificate[0]}, served: make(chan error, 3)}
	for _, l := range []struct {
		addr  *string
		serve func(net.Listener) error
		end   func() error
	}{
		{&s.at.Plain, srv.serve, nil},
		{&s.at.TLS, func(ln net.Listener) error { return srv.serve(tls.NewListener(ln, srv.secure)) }, nil},
		{&s.at.HTTP2, func(ln net.Listener) error { return ended(h2.ServeTLS(ln, "", "")) }, h2.Close},
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listening: %w", err), s.close())
		}
		*l.addr = ln.Addr().String()
		end := ln.Close
		if l.end != nil {
			end = l.end
		}
		s.ends = append(s.ends, end)
		go func() { s.served <- l.serve(ln) }()
	}
	return s, nil
}

// ended is the error of a server that was not told to end.
func ended(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// close ends the listeners, and the connections of HTTP/2.
func (s *site) close() error {
	var errs []error
	for _, end := range s.ends {
		errs = append(errs, end())
	}
	for range s.ends {
		errs = append(errs, <-s.served)
	}
	return errors.Join(errs...)
}

// newCertificate makes one for the loopback address that signs itself.
func newCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// shake makes the handshake of a connection, and counts those that resume a session.
func (s *server) shake(t *tls.Conn) bool {
	if t.Handshake() != nil {
		return false
	}
	if t.ConnectionState().DidResume {
		s.resumed.Add(1)
	}
	return true
}

// tunnel answers a CONNECT, and is the server at its other end: one more connection
// would cost this process something, and the client nothing.
func (s *server) tunnel(c net.Conn) bool {
	if s.secure == nil || !write(c, []byte("HTTP/1.1 200 OK\r\n\r\n")) {
		return false
	}
	if t := tls.Server(c, s.secure); s.shake(t) {
		s.serveConn(t)
	}
	return false
}

// http2 gives the same answers by HTTP/2, and by nothing else.
func (s *server) http2(cert tls.Certificate) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	return &http.Server{
		Protocols: protocols,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Handler:   http.HandlerFunc(s.handle),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.accepted.Add(1)
				s.open.Add(1)
			case http.StateClosed:
				s.open.Add(-1)
			}
		},
	}
}

// handle answers a GET by HTTP/2.
func (s *server) handle(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor != 2 {
		http.Error(w, "not HTTP/2", http.StatusHTTPVersionNotSupported)
		return
	}
	head, body, _ := bytes.Cut(s.get, []byte("\r\n\r\n"))
	size := int64(len(body))
	if digits, ok := strings.CutPrefix(r.URL.Path, pathDownload); ok {
		n, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			http.Error(w, "no size", http.StatusBadRequest)
			return
		}
		body, size = s.slab, n
	}
	h := w.Header()
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			h.Set(name, value)
		}
	}
	h.Set("Content-Length", strconv.FormatInt(size, 10))
	for size > 0 {
		n, err := w.Write(body[:min(size, int64(len(body)))])
		if err != nil {
			return // the client does not want it
		}
		size -= int64(n)
	}
}
