// Package dial makes connections: name resolution, TCP, TLS. It knows no HTTP.
package dial

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// Dialer is what *net.Dialer has.
type Dialer interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// Times are the durations of the steps of one dial. A step that was not taken is
// zero.
type Times struct {
	DNS, Connect, TLS time.Duration
}

// TCP connects to address. Names are resolved and their addresses raced (RFC
// 8305) by the dialer. The context bounds it.
func TCP(ctx context.Context, d Dialer, address string, t *Times) (net.Conn, error) {
	return timed(ctx, t, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", address) })
}

// Unix connects to the socket at path. The context bounds it.
func Unix(ctx context.Context, d Dialer, path string, t *Times) (net.Conn, error) {
	return timed(ctx, t, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "unix", path) })
}

// timed dials, and tells apart how long names and connecting took.
func timed(ctx context.Context, t *Times, dial func(context.Context) (net.Conn, error)) (net.Conn, error) {
	start := time.Now()
	// A dialer may call the hooks from goroutines of its own.
	var asked, dns atomic.Int64
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		DNSStart: func(httptrace.DNSStartInfo) { asked.Store(int64(time.Since(start))) },
		DNSDone:  func(httptrace.DNSDoneInfo) { dns.Store(int64(time.Since(start)) - asked.Load()) },
	})
	nc, err := dial(traced)
	asking := time.Duration(dns.Load())
	t.DNS += asking
	t.Connect += time.Since(start) - asking
	if nc == nil && err == nil {
		err = errors.New("the dialer returned neither a connection nor an error")
	}
	return nc, err
}

// TLS performs the handshake as a client over nc for the server named host,
// unless cfg names another. On failure nc is closed. A trace in the context is told.
func TLS(ctx context.Context, nc net.Conn, cfg *tls.Config, host string, t *Times) (*tls.Conn, error) {
	start := time.Now()
	if cfg.ServerName == "" {
		cfg = cfg.Clone()
		cfg.ServerName = host
	}
	tc := tls.Client(nc, cfg)
	returned := false
	defer func() {
		if !returned { // a hook ended the goroutine
			nc.Close()
		}
	}()
	err := handshake(ctx, tc, start, t)
	returned = true
	if err != nil {
		nc.Close()
		return nil, err
	}
	return tc, nil
}

// handshake times the handshake, and tells the trace of the context.
func handshake(ctx context.Context, tc *tls.Conn, start time.Time, t *Times) error {
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	err := tc.HandshakeContext(ctx)
	t.TLS = time.Since(start)
	if trace != nil && trace.TLSHandshakeDone != nil {
		state := tls.ConnectionState{}
		if err == nil {
			state = tc.ConnectionState()
		}
		trace.TLSHandshakeDone(state, err)
	}
	return err
}
