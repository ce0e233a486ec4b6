package cookies

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The Netscape format has a cookie to a line, with seven fields between tabs: domain,
// whether it is for the names below too, path, whether it is Secure, seconds since
// 1970 at which it ends (0: with the session), name, value. Lines with # are comments,
// but for httpOnlyMark, which curl puts before the domain of a cookie that is HttpOnly.
const httpOnlyMark = "#HttpOnly_"

// Files that parley writes say in the first line that they end with the last, so that
// one which was cut short between two lines is told from a whole one.
const (
	netscapeFirst = "# Netscape HTTP Cookie File, written by parley, whole only with its last line"
	netscapeLast  = "# end of the cookies"
)

// WriteNetscape writes cookies, the oldest first. When they were made and used, and
// SameSite, have no place in the format.
func WriteNetscape(w io.Writer, all []Cookie) error {
	byAge(all)
	out := bufio.NewWriter(w)
	out.WriteString(netscapeFirst + "\n") // out keeps the error until Flush
	for i := range all {
		c := &all[i]
		mark, dot, ends := "", "", int64(0)
		if c.HttpOnly {
			mark = httpOnlyMark
		}
		if !c.HostOnly {
			dot = "."
		}
		if !c.Expires.IsZero() { // a part of a second counts as one: 0 would mean another thing
			ends = c.Expires.Add(time.Second - time.Nanosecond).Unix()
		}
		fmt.Fprintf(out, "%s%s%s\t%s\t%s\t%s\t%d\t%s\t%s\n",
			mark, dot, c.Domain, flag(!c.HostOnly), c.Path, flag(c.Secure), ends, c.Name, c.Value)
	}
	out.WriteString(netscapeLast + "\n")
	return out.Flush()
}

func flag(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// ReadNetscape stores the cookies of a file that curl, a browser's export or
// WriteNetscape wrote. One that was cut short is an error and stores nothing; lines
// that are no cookies are left out, and bad says why.
func (s *Store) ReadNetscape(r io.Reader, now time.Time) (bad []error, err error) {
	l := s.loader(now)
	in := newLineReader(r, l.staged.limits)
	marked, ended := false, false
	for {
		raw, err := in.next()
		switch {
		case errors.Is(err, errLongRecord):
			l.refuse(in.line, err)
			continue
		case errors.Is(err, io.EOF) && len(raw) > 0:
			return nil, &LineError{in.line, errCutLine}
		case errors.Is(err, io.EOF) && in.line == 1:
			return nil, errEmptyFile
		case errors.Is(err, io.EOF) && marked && !ended:
			return nil, &LineError{in.line - 1, errCutShort}
		case errors.Is(err, io.EOF):
			return l.finish(s), nil
		case err != nil:
			return nil, &LineError{in.line, err}
		}
		line := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		marked = marked || in.line == 1 && line == netscapeFirst
		ended = ended || line == netscapeLast
		c, is, err := parseNetscape(line)
		switch {
		case err != nil:
			l.refuse(in.line, err)
		case is:
			l.take(in.line, &c)
		}
	}
}

var (
	errFieldCount = errors.New("the line has not seven fields between tabs")
	errFlag       = errors.New("a flag is neither TRUE nor FALSE")
	errEnds       = errors.New("the fifth field is not a number of seconds since 1970")
)

// parseNetscape reads a line. is tells a cookie from a comment.
func parseNetscape(line string) (c Cookie, is bool, err error) {
	line, c.HttpOnly = strings.CutPrefix(line, httpOnlyMark)
	if strings.HasPrefix(line, "#") || trim(line) == "" {
		return Cookie{}, false, nil
	}
	fields := strings.Split(line, "\t")
	if len(fields) == 6 { // some leave out the tab before an empty value
		fields = append(fields, "")
	}
	if len(fields) != 7 {
		return Cookie{}, false, errFieldCount
	}
	below, ok := parseFlag(fields[1])
	secure, alsoOK := parseFlag(fields[3])
	if !ok || !alsoOK {
		return Cookie{}, false, errFlag
	}
	if c.Expires, ok = parseEnds(fields[4]); !ok {
		return Cookie{}, false, errEnds
	}
	c.Domain, c.HostOnly, c.Path, c.Secure = fields[0], !below, fields[2], secure
	c.Name, c.Value = fields[5], fields[6]
	return c, true, nil
}

func parseFlag(s string) (value, ok bool) {
	value = strings.EqualFold(s, "TRUE")
	return value, value || strings.EqualFold(s, "FALSE")
}

// parseEnds reads when a cookie ends. Some exports write fractions of a second, some
// nothing for the end of the session.
func parseEnds(s string) (t time.Time, ok bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.ContainsFunc(whole+fraction, func(r rune) bool { return r < '0' || r > '9' }) || whole == "" && s != "" {
		return time.Time{}, false
	}
	if strings.Trim(whole, "0") == "" {
		return time.Time{}, true
	}
	const latest = 1 << 40 // seconds: far beyond what a cookie may live, and a time that can be added to
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || n > latest {
		n = latest
	}
	return time.Unix(n, 0).UTC(), true
}
