package cookies

import (
	"slices"
	"strings"
	"time"
)

// Len counts the cookies that have not ended.
func (s *Store) Len(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(wall(now))
	return int(s.count.Load())
}

// All gives a copy of the cookies that have not ended and that pick wants, in no order.
func (s *Store) All(now time.Time, pick func(*Cookie) bool) []Cookie {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(wall(now))
	var all []Cookie
	for e := s.accessed.first; e != nil; e = e.next {
		if pick == nil || pick(&e.Cookie) {
			all = append(all, e.Cookie)
		}
	}
	return all
}

// ByPlace sorts cookies by domain, path and name; for a host only comes before for
// all names below it.
func ByPlace(all []Cookie) {
	slices.SortFunc(all, func(a, b Cookie) int {
		for _, order := range [...]int{
			strings.Compare(a.Domain, b.Domain), strings.Compare(a.Path, b.Path), strings.Compare(a.Name, b.Name),
		} {
			if order != 0 {
				return order
			}
		}
		if a.HostOnly {
			return -1
		}
		return 1
	})
}

// byAge sorts cookies by the time at which they were created.
func byAge(all []Cookie) {
	slices.SortStableFunc(all, func(a, b Cookie) int { return a.Created.Compare(b.Created) })
}

// Remove removes the cookies that drop wants removed, and says how many.
func (s *Store) Remove(now time.Time, drop func(*Cookie) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(wall(now))
	n := 0
	for e := s.accessed.first; e != nil; {
		next := e.next
		if drop(&e.Cookie) {
			s.remove(e)
			n++
		}
		e = next
	}
	return n
}

// RemoveExpired removes what has ended, and says how many.
func (s *Store) RemoveExpired(now time.Time) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.count.Load()
	s.expire(wall(now))
	return int(before - s.count.Load())
}

// Clear removes all.
func (s *Store) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sites = make(map[string]*site)
	s.accessed, s.ending = list{}, nil
	s.count.Store(0)
}

// Merge stores cookies that were checked, in place of those that are the same.
func (s *Store) Merge(all []Cookie, now time.Time) {
	now = wall(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now)
	byAge(all)
	limits := s.limits
	s.limits.Total = -1 // until all are there, and the order of their use is known
	for i := range all {
		c := &all[i]
		t := targetOfHost(c.Domain)
		s.merge(c, t.site, now)
	}
	s.limits = limits
	s.relist()
	s.shedTotal()
}

// merge is put for a cookie with a history of its own.
func (s *Store) merge(c *Cookie, key string, now time.Time) {
	if home := s.sites[key]; home != nil {
		for _, e := range home.cookies {
			if e.same(c) {
				s.remove(e)
				break
			}
		}
	}
	s.insert(c, s.sites[key], key, now)
}

// relist puts all into the order of their use.
func (s *Store) relist() {
	all := make([]*entry, 0, s.count.Load())
	for e := s.accessed.first; e != nil; e = e.next {
		all = append(all, e)
	}
	slices.SortStableFunc(all, func(a, b *entry) int { return a.Accessed.Compare(b.Accessed) })
	s.accessed = list{}
	for _, e := range all {
		e.prev, e.next = nil, nil
		s.accessed.toBack(e)
	}
}
