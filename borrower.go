package parley

import (
	"net/url"
	"sync"
	"time"

	"github.com/seed-0474a412/parley/internal/sock"
	"github.com/seed-0474a412/parley/internal/urls"
)

// borrower is what is remembered of a request that uses a connection. It holds strings and
// nothing of the request, which its owner may change and drop while the answer is read.
type borrower struct {
	method, host, path, rawPath string
}

func borrowerOf(req *Request) borrower {
	return borrower{req.Method, req.URL.Host, req.URL.Path, req.URL.RawPath}
}

// on names a borrower of connections with a key: its method and URL, without the query;
// "" if there is none.
func (b *borrower) on(key connKey) string {
	if b.method == "" {
		return ""
	}
	u := url.URL{Scheme: key.scheme(), Host: b.host, Path: b.path, RawPath: b.rawPath}
	if key.host == urls.UnixHost {
		u.Scheme = urls.UnixScheme
	}
	return quoteBad(b.method, 32) + " " + urls.Redacted(&u)
}

// user is the one borrower of a connection that serves one request at a time.
type user struct {
	mu  sync.Mutex
	now *borrower // nil: none. An idle connection has no room for one
}

var borrowerPool = sync.Pool{New: func() any { return new(borrower) }}

func (u *user) begin(req *Request) {
	b := borrowerPool.Get().(*borrower)
	*b = borrowerOf(req)
	u.swap(b)
}

func (u *user) end() { u.swap(nil) }

func (u *user) swap(b *borrower) {
	u.mu.Lock()
	old := u.now
	u.now = b
	u.mu.Unlock()
	if old != nil {
		*old = borrower{}
		borrowerPool.Put(old)
	}
}

func (u *user) get() borrower {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.now == nil {
		return borrower{}
	}
	return *u.now
}

// users are the borrowers of a connection that serves several requests at once, the oldest
// first.
type users struct {
	mu          sync.Mutex
	first, last *sharer
}

// sharer is one of them.
type sharer struct {
	borrower
	since      time.Duration // as package sock counts
	of         *users        // nil: none any more
	prev, next *sharer
}

// add puts s at the end.
func (u *users) add(s *sharer) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s.of, s.prev = u, u.last
	if u.last == nil {
		u.first = s
	} else {
		u.last.next = s
	}
	u.last = s
}

// leave takes s out, if it is there. It is called by one at a time.
func (s *sharer) leave() {
	u := s.of
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if s.prev == nil {
		u.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		u.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.of, s.prev, s.next = nil, nil, nil
}

// oldest gives the one that has been there for the longest time, and since when.
func (u *users) oldest() (b borrower, since time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.first == nil {
		return borrower{}, time.Time{}
	}
	return u.first.borrower, sock.Time(u.first.since)
}

// oldestOf tells which request has used a connection for the longest time, and since when,
// where that has been lent since then.
func (c *conn) oldestOf(lent time.Time) (b borrower, since time.Time) {
	if c.h2 == nil {
		return c.user.get(), lent
	}
	if b, since = c.h2.users.oldest(); since.IsZero() {
		return b, lent
	}
	return b, since
}
