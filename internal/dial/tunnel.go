package dial

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"strconv"

	"golang.org/x/net/proxy"

	"github.com/seed-0474a412/parley/internal/h1"
)

// The functions of this file speak with a proxy over a connection that is there. They
// are bounded by whoever closes it.

// Refused is a proxy's answer to CONNECT that gives no tunnel.
type Refused struct {
	StatusCode int
	Status     string // as it came
	Header     http.Header
}

// Error names the status code.
func (r *Refused) Error() string { return "the proxy answered " + strconv.Itoa(r.StatusCode) }

// ErrSurplus says that a proxy sent something behind its answer to CONNECT. The
// server at the other end says nothing before it was spoken to.
var ErrSurplus = errors.New("bytes follow the proxy's answer to CONNECT")

// Connect asks an HTTP proxy for a tunnel (RFC 9110, section 9.3.6): head is a CONNECT.
// What the head of a 2xx says of a body counts for nothing. Any other answer is a
// *[Refused], and its body is left unread.
func Connect(nc net.Conn, head *h1.RequestHead, limits h1.Limits) error {
	out, err := h1.AppendRequestHead(nil, head)
	if err != nil {
		return err
	}
	if _, err := nc.Write(out); err != nil {
		return err
	}
	br := bufio.NewReader(nc)
	var answer h1.ResponseHead
	if err := h1.ReadResponse(br, head.Method, limits, &answer, nil); err != nil {
		return err
	}
	if answer.StatusCode/100 != 2 {
		return &Refused{StatusCode: answer.StatusCode, Status: answer.Status, Header: answer.Header}
	}
	if br.Buffered() > 0 {
		return ErrSurplus
	}
	return nil
}

// Login is a name with its password.
type Login struct{ User, Password string }

// SOCKS5 asks a SOCKS5 proxy for a connection to address (RFC 1928), whose host it
// resolves if that is a name. login may be nil (RFC 1929).
func SOCKS5(nc net.Conn, address string, login *Login) error {
	var auth *proxy.Auth
	if login != nil {
		auth = &proxy.Auth{User: login.User, Password: login.Password}
	}
	d, err := proxy.SOCKS5("tcp", "", auth, dialed{nc})
	if err != nil {
		return err
	}
	// What it gives is nc in a wrapper, which would hide that nc can be looked at
	// while it is idle.
	_, err = d.Dial("tcp", address)
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		return op.Err // without the addresses, which the caller knows
	}
	return err
}

// dialed dials what has been dialled already.
type dialed struct{ net.Conn }

func (d dialed) Dial(string, string) (net.Conn, error) { return d.Conn, nil }
