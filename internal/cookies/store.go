package cookies

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Store holds cookies, by the registrable domain that they belong to. Finding those
// of a request costs time in proportion to the cookies of its registrable domain, and
// storing one too, however many there are in all. It is safe for concurrent use.
type Store struct {
	count atomic.Int64 // of all cookies, to be read without the lock

	mu       sync.Mutex
	limits   Limits
	sites    map[string]*site
	accessed list      // all, those that were not used for longest first
	ending   endings   // those with an end, the next to end first
	latest   time.Time // Created of the youngest
}

// site is a registrable domain with its cookies, in the order in which they are sent.
type site struct {
	key     string
	cookies []*entry
}

// entry is a cookie in its places.
type entry struct {
	Cookie
	site       *site
	prev, next *entry // in Store.accessed
	ending     int    // index in Store.ending; -1: it has no end
}

// NewStore makes an empty store.
func NewStore(limits Limits) *Store {
	return &Store{limits: limits, sites: make(map[string]*site)}
}

// wall gives a time as it is stored: without the reading of a clock that no other
// run of the program has.
func wall(t time.Time) time.Time { return t.UTC().Round(0) }

// Empty reports, without waiting for anybody, that there are no cookies.
func (s *Store) Empty() bool { return s.count.Load() == 0 }

// SetLimits changes the limits, and removes what passes them.
func (s *Store) SetLimits(limits Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = limits
	for _, site := range s.sites {
		for _, e := range slices.Clone(site.cookies) {
			if len(e.Name)+len(e.Value) > limits.cookieBytes() {
				s.remove(e)
			}
		}
		s.shedSite(site)
	}
	s.shedTotal()
}

// Limits gives the limits.
func (s *Store) Limits() Limits {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limits
}

// Query says what of the cookies of a target is wanted.
type Query struct {
	Used int         // bytes that the Cookie header has already
	Skip [3][]string // names that are not wanted
}

// Skips reports whether a name is not wanted.
func (q *Query) Skips(name string) bool {
	for _, names := range q.Skip {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// Match appends the cookies that a request to t bears, in the order in which they are
// sent (section 5.8.3). One that would make the header longer than the limit is left
// out.
func (s *Store) Match(dst []Pair, t *Target, now time.Time, q *Query) []Pair {
	now = wall(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	site := s.sites[t.site]
	if site == nil {
		return dst
	}
	used := q.Used
	for _, e := range site.cookies {
		if !e.goesTo(t) || q.Skips(e.Name) {
			continue
		}
		p := Pair{e.Name, e.Value}
		if size := p.Size(); s.limits.HeaderBytes < 0 || used+size <= s.limits.HeaderBytes {
			used += size
			e.Accessed = now
			s.accessed.toBack(e)
			dst = append(dst, p)
		}
	}
	return dst
}

// goesTo reports whether a request to t bears the cookie.
func (e *entry) goesTo(t *Target) bool {
	if e.Domain != t.host && (e.HostOnly || !domainMatch(t.host, e.Domain)) {
		return false
	}
	return (t.secure || !e.Secure) && pathMatch(t.path, e.Path)
}

// Put stores what t's server says of a cookie, or says why not.
func (s *Store) Put(r *Received, t *Target, now time.Time) error {
	now = wall(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	c, gone, err := r.cookie(t, &s.limits, now)
	if err != nil {
		return err
	}
	return s.put(&c, t.site, t.secure, gone, now)
}

// put stores c in place of the cookie that is the same but for its value and flags;
// gone only removes that one. An insecure server may neither replace nor hide a Secure
// cookie (section 5.7, "leave Secure cookies alone").
func (s *Store) put(c *Cookie, key string, secure, gone bool, now time.Time) error {
	home := s.sites[key]
	var old *entry
	if home != nil {
		for _, e := range home.cookies {
			if e.Name != c.Name {
				continue
			}
			if e.Secure && !c.Secure && !secure && pathMatch(c.Path, e.Path) &&
				(domainMatch(e.Domain, c.Domain) || domainMatch(c.Domain, e.Domain)) {
				return errOverSecure
			}
			if e.same(c) {
				old = e
			}
		}
	}
	switch {
	case gone && old != nil:
		s.remove(old)
	case gone:
	case old != nil:
		created := old.Created
		old.Cookie = c.own()
		old.Created = created
		s.accessed.toBack(old)
		s.ending.set(old)
	default:
		s.insert(c, home, key, now)
	}
	return nil
}

// own gives a copy that is part of no larger text.
func (c *Cookie) own() Cookie {
	all := strings.Join([]string{c.Name, c.Value, c.Domain, c.Path}, "")
	next := func(n int) string {
		text := all[:n]
		all = all[n:]
		return text
	}
	own := *c
	own.Name, own.Value = next(len(c.Name)), next(len(c.Value))
	own.Domain, own.Path = next(len(c.Domain)), next(len(c.Path))
	return own
}

// insert adds a cookie, and removes others where there are now too many.
func (s *Store) insert(c *Cookie, home *site, key string, now time.Time) {
	if home == nil {
		home = &site{key: strings.Clone(key)}
		s.sites[home.key] = home
	}
	e := &entry{Cookie: c.own(), site: home, ending: -1}
	if e.Created.IsZero() {
		// No two are created at one time, so that their order survives being saved.
		e.Created = now
		if !e.Created.After(s.latest) {
			e.Created = s.latest.Add(time.Nanosecond)
		}
	}
	if e.Created.After(s.latest) {
		s.latest = e.Created
	}
	at, _ := slices.BinarySearchFunc(home.cookies, &e.Cookie, func(o *entry, c *Cookie) int {
		if c.before(&o.Cookie) {
			return 1
		}
		return -1 // also of those created at the same time: the new one comes last
	})
	home.cookies = slices.Insert(home.cookies, at, e)
	s.accessed.toBack(e)
	s.ending.set(e)
	s.count.Add(1)
	s.shedSite(home)
	s.shedTotal()
}

// remove takes a cookie out of all its places.
func (s *Store) remove(e *entry) {
	home := e.site
	if i := slices.Index(home.cookies, e); i >= 0 {
		home.cookies = slices.Delete(home.cookies, i, i+1)
	}
	if len(home.cookies) == 0 {
		delete(s.sites, home.key)
	}
	s.accessed.remove(e)
	s.ending.remove(e)
	s.count.Add(-1)
}

// expire removes what has ended.
func (s *Store) expire(now time.Time) {
	for len(s.ending) > 0 && !s.ending[0].Expires.After(now) {
		s.remove(s.ending[0])
	}
}

// shedSite removes cookies of a registrable domain that has too many: those that are
// not Secure before others, and those that were not used for longest first (section
// 5.7).
func (s *Store) shedSite(home *site) {
	for s.limits.PerDomain >= 0 && len(home.cookies) > s.limits.PerDomain {
		worst := home.cookies[0]
		for _, e := range home.cookies[1:] {
			if e.goesBefore(worst) {
				worst = e
			}
		}
		s.remove(worst)
	}
}

// goesBefore reports whether e is removed before o for want of room.
func (e *entry) goesBefore(o *entry) bool {
	if e.Secure != o.Secure {
		return !e.Secure
	}
	if !e.Accessed.Equal(o.Accessed) {
		return e.Accessed.Before(o.Accessed)
	}
	return e.Created.Before(o.Created)
}

// shedTotal removes cookies, whosever they are, that were not used for longest.
func (s *Store) shedTotal() {
	for s.limits.Total >= 0 && s.count.Load() > int64(s.limits.Total) {
		s.remove(s.accessed.first)
	}
}
