package dial

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

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
	Body       []byte // its beginning, as far as it came at once
}

// Error names the status code.
func (r *Refused) Error() string { return "the proxy answered " + strconv.Itoa(r.StatusCode) }

// ErrSurplus says that a proxy sent something behind its answer to CONNECT. The
// server at the other end says nothing before it was spoken to.
var ErrSurplus = errors.New("bytes follow the proxy's answer to CONNECT")

// Connect asks an HTTP proxy for a tunnel (RFC 9110, section 9.3.6): head is a CONNECT.
// It gives the header of a 2xx, whose words of a body count for nothing. Any other answer is
// a *[Refused], after which the connection is good for nothing.
func Connect(nc net.Conn, head *h1.RequestHead, limits h1.Limits) (http.Header, error) {
	out, err := h1.AppendRequestHead(nil, head)
	if err != nil {
		return nil, err
	}
	if _, err := nc.Write(out); err != nil {
		return nil, err
	}
	br := bufio.NewReader(nc)
	var answer h1.ResponseHead
	if err := h1.ReadResponse(br, head.Method, limits, &answer, nil); err != nil {
		return nil, err
	}
	if answer.StatusCode/100 != 2 {
		return nil, &Refused{
			StatusCode: answer.StatusCode, Status: answer.Status, Header: answer.Header,
			Body: readRefusal(nc, br, &answer, limits),
		}
	}
	if br.Buffered() > 0 {
		return nil, ErrSurplus
	}
	return answer.Header, nil
}

// How much of a refusal's body is read, and for how long it is waited for.
const (
	maxRefusal  = 4 << 10
	refusalWait = 200 * time.Millisecond
)

// readRefusal reads what people are told of why there is no tunnel. That some of it is
// missing changes nothing.
func readRefusal(nc net.Conn, br *bufio.Reader, answer *h1.ResponseHead, limits h1.Limits) []byte {
	var body h1.Body
	body.Reset(br, answer, limits)
	late := time.AfterFunc(refusalWait, func() { nc.Close() })
	defer late.Stop()
	data, _ := io.ReadAll(io.LimitReader(&body, maxRefusal))
	return data
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
