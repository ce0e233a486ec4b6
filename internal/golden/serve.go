package golden

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// maxHead bounds the head of a request; nothing that a case asks for comes near it.
const maxHead = 4 << 20

// serverConn is one connection to a lab, from the server's side.
type serverConn struct {
	lab    *Lab
	conn   net.Conn
	in     *bufio.Reader
	origin string
}

// serve answers one request after the other until one side closes.
func (s *serverConn) serve() {
	s.in = bufio.NewReader(s.conn)
	for {
		request, err := s.read()
		if err != nil {
			if errors.Is(err, errNoHTTP) {
				_, _ = io.WriteString(s.conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") // it ends here anyway
			}
			return
		}
		if !s.respond(request) || request.asksToClose() {
			return
		}
	}
}

var errNoHTTP = errors.New("not HTTP/1.1")

// read takes in one request. A request whose head came is recorded, also when the rest does not follow.
func (s *serverConn) read() (Sent, error) {
	first, err := s.in.Peek(1)
	if err != nil {
		return Sent{}, err
	}
	if first[0] < ' ' && first[0] != '\r' && first[0] != '\n' {
		return Sent{}, errNoHTTP // a TLS handshake, for instance
	}
	request, err := s.readHead()
	if err != nil {
		return Sent{}, err
	}
	complete := s.lab.record(request)
	err = s.readBody(&request)
	request.Incomplete = err != nil
	complete(request)
	return request, err
}

// readHead reads up to the empty line. It takes what comes as it comes: judging it is left to the comparison.
func (s *serverConn) readHead() (Sent, error) {
	request := Sent{Origin: s.origin, Framing: "none"}
	line, size, err := s.line(0)
	if err != nil {
		return request, err
	}
	method, rest, ok := strings.Cut(line, " ")
	target, version, ok2 := cutLast(rest, " ")
	if !ok || !ok2 || !strings.HasPrefix(version, "HTTP/1.") {
		return request, errNoHTTP
	}
	request.Method, request.Target = method, target
	for {
		if line, size, err = s.line(size); err != nil {
			return request, err
		}
		if line == "" {
			return request, nil
		}
		name, value, _ := strings.Cut(line, ":")
		value = asLatin1(strings.Trim(value, " \t"))
		request.Headers = append(request.Headers, [2]string{asLatin1(name), value})
		switch {
		case strings.EqualFold(name, "Transfer-Encoding"):
			request.Framing = "chunked"
		case strings.EqualFold(name, "Content-Length") && request.Framing == "none":
			request.Framing = "content-length"
		}
	}
}

// line reads one line of a head of which read bytes came before, without its end.
func (s *serverConn) line(read int) (string, int, error) {
	var line []byte
	for {
		part, err := s.in.ReadSlice('\n')
		line = append(line, part...)
		if read+len(line) > maxHead {
			return "", 0, errNoHTTP
		}
		switch {
		case err == nil:
			return string(bytes.TrimSuffix(line[:len(line)-1], []byte("\r"))), read + len(line), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", 0, err
		}
	}
}

func (s *serverConn) readBody(request *Sent) error {
	switch request.Framing {
	case "chunked":
		return s.readChunks(request)
	case "content-length":
		n, err := strconv.ParseInt(request.header("Content-Length"), 10, 64)
		if err != nil {
			return err
		}
		var body bytes.Buffer
		_, err = io.CopyN(&body, s.in, n)
		request.Body = body.Bytes()
		return err
	}
	return nil
}

func (s *serverConn) readChunks(request *Sent) error {
	request.Chunks = []string{}
	for {
		line, _, err := s.line(0)
		if err != nil {
			return err
		}
		digits, _, _ := strings.Cut(line, ";")
		size, err := strconv.ParseInt(strings.TrimSpace(digits), 16, 32)
		if err != nil || size < 0 {
			return fmt.Errorf("chunk size %q", digits)
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size)
		n, err := io.ReadFull(s.in, chunk)
		request.Body = append(request.Body, chunk[:n]...)
		if err != nil {
			return err
		}
		request.Chunks = append(request.Chunks, string(chunk))
		if line, _, err = s.line(0); err != nil || line != "" {
			return errors.Join(err, fmt.Errorf("%q after a chunk", line))
		}
	}
	for { // trailers
		if line, _, err := s.line(0); err != nil || line == "" {
			return err
		}
	}
}

// respond plays the answer to a request, and reports whether the connection may go on.
func (s *serverConn) respond(request Sent) bool {
	answer := s.lab.answer(s.origin, request.Target)
	keep := answer.Close == nil || !*answer.Close
	switch {
	case answer.IsRaw:
		_, err := s.conn.Write(answer.Raw)
		return err == nil && answer.Close != nil && keep
	case answer.IsSet:
		s.play(answer.Steps)
		return false
	}
	_, err := s.conn.Write(answer.wire(request.Method))
	return err == nil && keep
}

func (s *serverConn) play(steps []Step) {
	for _, step := range steps {
		switch {
		case step.Reset:
			reset(s.conn)
			return
		case step.Sleep > 0:
			if !s.lab.sleep(step.Sleep) {
				return
			}
		default:
			if _, err := io.WriteString(s.conn, step.Send); err != nil {
				return
			}
		}
	}
}

// wire is the answer as it is written to a request with the given method.
func (a Answer) wire(method string) []byte {
	body := a.Body
	if !a.HasBody {
		body = []byte("ok")
	}
	reason := a.Reason
	if reason == "" {
		reason = http.StatusText(a.Status)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", a.Status, reason)
	framed := false
	for _, header := range a.Headers {
		fmt.Fprintf(&b, "%s: %s\r\n", header[0], header[1])
		name := textproto.CanonicalMIMEHeaderKey(header[0])
		framed = framed || name == "Content-Length" || name == "Transfer-Encoding"
	}
	none := a.Status == http.StatusNoContent || a.Status == http.StatusNotModified
	if !framed && !none {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	b.WriteString("\r\n")
	if !none && method != http.MethodHead {
		b.Write(body)
	}
	return b.Bytes()
}

// header returns the first value of a header line by that name.
func (s Sent) header(name string) string {
	for _, header := range s.Headers {
		if strings.EqualFold(header[0], name) {
			return header[1]
		}
	}
	return ""
}

func (s Sent) asksToClose() bool { return strings.EqualFold(s.header("Connection"), "close") }

// asLatin1 makes every byte of text one character, as the cases show header bytes.
func asLatin1(text string) string {
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}

func cutLast(text, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[:i], text[i+len(sep):], true
	}
	return text, "", false
}
