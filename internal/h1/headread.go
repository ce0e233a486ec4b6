package h1

import (
	"bufio"
	"bytes"
	"io"
	"strings"
)

// prefix begins every status line that is understood.
const prefix = "HTTP/1."

// A blockScan looks for the empty line that ends a head or trailer section. It
// is fed piece by piece and looks at each byte once, so that the cost is
// linear however small the pieces are.
type blockScan struct {
	lines   int  // complete lines so far, without the empty one
	loneLF  bool // a line ended without CR
	lineLen int  // bytes of the line that is not complete yet
	lastCR  bool // the last of them is a CR
}

// feed returns the number of bytes of p up to and with the end of the section,
// or -1 if p does not have it. It stops early once there are more than
// maxLines lines.
func (s *blockScan) feed(p []byte, maxLines int) int {
	at := 0
	for s.lines <= maxLines {
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			if at < len(p) {
				s.lineLen += len(p) - at
				s.lastCR = p[len(p)-1] == '\r'
			}
			return -1
		}
		length, cr := s.lineLen+i, s.lastCR
		if i > 0 {
			cr = p[at+i-1] == '\r'
		}
		at += i + 1
		s.lineLen, s.lastCR = 0, false
		if !cr {
			s.loneLF = true
		} else {
			length--
		}
		if length == 0 {
			return at
		}
		s.lines++
	}
	return -1
}

// readHead reads a head up to and with its empty line. Earlier heads of the
// same answer took used bytes of the limit. A head that lies in br's buffer as
// a whole is copied once, into the string.
func readHead(br *bufio.Reader, used int, lim *Limits) (string, blockScan, error) {
	var scan blockScan
	var begun strings.Builder // what did not fit into br's buffer
	limit := lim.HeadBytes - used
	seen := 0 // bytes in br's buffer that scan has had
	for {
		if seen == br.Size() {
			p, _ := br.Peek(seen)
			begun.Write(p)
			discardBuffered(br, seen)
			seen = 0
		}
		if br.Buffered() == seen {
			if _, err := br.Peek(seen + 1); err != nil {
				if err == io.EOF && used+begun.Len()+seen > 0 {
					err = io.ErrUnexpectedEOF
				}
				return "", scan, err
			}
		}
		p, _ := br.Peek(min(br.Buffered(), limit-begun.Len()))
		if begun.Len() == 0 && seen < len(prefix) && !beginsLike(p, prefix) {
			return "", scan, malformed("response does not begin with "+prefix, string(p[:min(len(p), shown+1)]))
		}
		end := scan.feed(p[seen:], lim.HeaderCount+1)
		switch {
		case end >= 0:
			begun.Write(p[:seen+end])
			discardBuffered(br, seen+end)
			return begun.String(), scan, nil
		case scan.lines > lim.HeaderCount+1:
			return "", scan, overLimit("number of header lines", lim.HeaderCount)
		case begun.Len()+len(p) == limit:
			return "", scan, overLimit("bytes of response head", lim.HeadBytes)
		}
		seen = len(p)
	}
}

// beginsLike reports whether p is the beginning of s or begins with s.
func beginsLike(p []byte, s string) bool {
	n := min(len(p), len(s))
	return string(p[:n]) == s[:n]
}

// discardBuffered drops n bytes that are in br's buffer, which cannot fail.
func discardBuffered(br *bufio.Reader, n int) {
	_, _ = br.Discard(n)
}
