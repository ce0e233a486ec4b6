package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed-0474a412/parley/internal/wiretest"
)

// names is a name server that answers over a pipe, after a pause.
type names struct {
	pause time.Duration
	known map[string][]string // addresses by name
}

// dialer asks the name server in place of the system's.
func (n *names) dialer() *net.Dialer {
	return &net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: n.dial}}
}

func (n *names) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		for n.serve(ctx, far) == nil {
		}
	}()
	return near, nil
}

// serve answers one question (RFC 1035, section 4.2.2).
func (n *names) serve(ctx context.Context, c net.Conn) error {
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	packed := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, packed); err != nil {
		return err
	}
	var m dnsmessage.Message
	if err := m.Unpack(packed); err != nil {
		return err
	}
	select {
	case <-time.After(n.pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	n.answer(&m)
	packed, err := m.AppendPack(make([]byte, 2, 512))
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint16(packed, uint16(len(packed)-2))
	_, err = c.Write(packed)
	return err
}

func (n *names) answer(m *dnsmessage.Message) {
	q := m.Questions[0]
	addresses, known := n.known[strings.TrimSuffix(q.Name.String(), ".")]
	m.Header.Response, m.Header.RecursionAvailable = true, true
	m.Additionals = nil
	if !known {
		m.Header.RCode = dnsmessage.RCodeNameError
		return
	}
	for _, address := range addresses {
		var body dnsmessage.ResourceBody
		a := netip.MustParseAddr(address)
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			body = &dnsmessage.AResource{A: a.As4()}
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		default:
			continue
		}
		head := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: body})
	}
}

func TestTCP_triesAllAddressesOfAName(t *testing.T) {
	s := wiretest.Serve(t, (*wiretest.Conn).Hold)
	_, port, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	const pause = 5 * time.Millisecond
	n := &names{pause: pause, known: map[string][]string{
		"one.test":  {"127.0.0.1"},
		"two.test":  {"::1", "127.0.0.1"}, // nobody listens at the first
		"none.test": {},
	}}
	for _, name := range []string{"one.test", "two.test"} {
		t.Run(name, func(t *testing.T) {
			var times Times
			nc, err := TCP(t.Context(), n.dialer(), name+":"+port, &times)
			require.NoError(t, err)
			defer nc.Close()
			require.Equal(t, s.Addr(), nc.RemoteAddr().String())
			require.GreaterOrEqual(t, times.DNS, pause)
			require.Positive(t, times.Connect)
			require.Zero(t, times.TLS)
		})
	}
	for _, name := range []string{"none.test", "unknown.test"} {
		t.Run(name, func(t *testing.T) {
			var times Times
			_, err := TCP(t.Context(), n.dialer(), name+":"+port, &times)
			var dns *net.DNSError
			require.ErrorAs(t, err, &dns)
			require.True(t, dns.IsNotFound)
			require.GreaterOrEqual(t, times.DNS, pause)
		})
	}
}

func TestTCP_anAddressNeedsNoDNS(t *testing.T) {
	s := wiretest.Serve(t, (*wiretest.Conn).Hold)
	var times Times
	nc, err := TCP(t.Context(), &net.Dialer{}, s.Addr(), &times)
	require.NoError(t, err)
	defer nc.Close()
	require.Zero(t, times.DNS)
	require.Positive(t, times.Connect)
}

func TestTCP_refused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	var times Times
	_, err = TCP(t.Context(), &net.Dialer{}, l.Addr().String(), &times)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	var op *net.OpError
	require.ErrorAs(t, err, &op)
	require.Positive(t, times.Connect)
}

func TestTCP_endsWithItsContext(t *testing.T) {
	n := &names{pause: time.Hour, known: map[string][]string{"slow.test": {"127.0.0.1"}}}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	var times Times
	_, err := TCP(ctx, n.dialer(), "slow.test:80", &times)
	require.Error(t, err)
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
	require.Less(t, times.Connect+times.DNS, 5*time.Second)
}

func TestTCP_aDialerMaySayAnything(t *testing.T) {
	why := errors.New("no way")
	var asked string
	d := dialerFunc(func(_ context.Context, network, address string) (net.Conn, error) {
		asked = network + " " + address
		return nil, why
	})
	_, err := TCP(t.Context(), d, "h.test:80", &Times{})
	require.Equal(t, why, err)
	require.Equal(t, "tcp h.test:80", asked)
}

type dialerFunc func(ctx context.Context, network, address string) (net.Conn, error)

func (f dialerFunc) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return f(ctx, network, address)
}

func TestTLS_verifiesTheNameThatWasAskedFor(t *testing.T) {
	authority := wiretest.NewAuthority(t)
	s := wiretest.ServeTLS(t, authority.Server(t, "good.test"), (*wiretest.Conn).Hold)
	trusted := authority.Trusted()
	named := authority.Trusted()
	named.ServerName = "good.test"
	tests := map[string]struct {
		cfg  *tls.Config
		host string
		want any // an error type; nil: it connects
	}{
		"the right name":               {trusted, "good.test", nil},
		"another name":                 {trusted, "evil.test", new(x509.HostnameError)},
		"the configuration's own name": {named, "evil.test", nil},
		"an address":                   {trusted, "127.0.0.1", nil},
		"another address":              {trusted, "127.0.0.2", new(x509.HostnameError)},
		"an authority not trusted":     {&tls.Config{RootCAs: x509.NewCertPool()}, "good.test", new(x509.UnknownAuthorityError)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			nc, err := net.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer nc.Close()
			before := test.cfg.ServerName
			var times Times
			tc, err := TLS(t.Context(), nc, test.cfg, test.host, &times)
			require.Positive(t, times.TLS)
			require.Equal(t, before, test.cfg.ServerName, "the configuration is not changed")
			if test.want == nil {
				require.NoError(t, err)
				require.True(t, tc.ConnectionState().HandshakeComplete)
				return
			}
			require.Nil(t, tc)
			require.ErrorAs(t, err, test.want)
			_, err = nc.Write([]byte("x"))
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

func TestTLS_endsWithItsContext(t *testing.T) {
	s := wiretest.Serve(t, (*wiretest.Conn).Hold) // never answers the hello
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer nc.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err = TLS(ctx, nc, &tls.Config{}, "h.test", &Times{})
	require.ErrorIs(t, err, context.Canceled)
	_, err = nc.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
}

func TestTLS_withAPeerThatSpeaksNone(t *testing.T) {
	s := wiretest.Serve(t, func(c *wiretest.Conn) {
		c.Say("HTTP/1.1 400 Bad Request\r\n\r\n")
		c.Hold()
	})
	nc, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer nc.Close()
	_, err = TLS(t.Context(), nc, &tls.Config{}, "h.test", &Times{})
	var record tls.RecordHeaderError
	require.ErrorAs(t, err, &record)
}
