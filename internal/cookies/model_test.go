package cookies

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// model is a store as plain as can be: a list that is searched from end to end.
type model struct {
	limits Limits
	all    []Cookie
	made   time.Time
}

func (m *model) expire(now time.Time) {
	m.all = slices.DeleteFunc(m.all, func(c Cookie) bool { return !c.Expires.IsZero() && !c.Expires.After(now) })
}

func (m *model) put(r *Received, t *Target, now time.Time) error {
	m.expire(now)
	c, gone, err := r.cookie(t, &m.limits, now)
	if err != nil {
		return err
	}
	for _, old := range m.all {
		// A host that is a public suffix shares no cookies with the names below it.
		if targetOfHost(old.Domain).site == t.site && old.Name == c.Name && old.Secure && !c.Secure && !t.secure && pathMatch(c.Path, old.Path) &&
			(domainMatch(old.Domain, c.Domain) || domainMatch(c.Domain, old.Domain)) {
			return errOverSecure
		}
	}
	if m.made = m.made.Add(1); now.After(m.made) {
		m.made = now
	}
	c.Created = m.made
	if i := slices.IndexFunc(m.all, func(old Cookie) bool { return old.same(&c) }); i >= 0 {
		c.Created = m.all[i].Created
		m.all = slices.Delete(m.all, i, i+1)
	}
	if gone {
		return nil
	}
	m.all = append(m.all, c)
	m.shed(func(o *Cookie) bool { return targetOfHost(o.Domain).site == targetOfHost(c.Domain).site }, m.limits.PerDomain, true)
	m.shed(func(*Cookie) bool { return true }, m.limits.Total, false)
	return nil
}

func (m *model) shed(of func(*Cookie) bool, most int, plainFirst bool) {
	var found []Cookie
	for _, c := range m.all {
		if of(&c) {
			found = append(found, c)
		}
	}
	if len(found) <= most {
		return
	}
	worst := slices.MinFunc(found, func(a, b Cookie) int {
		if plainFirst && a.Secure != b.Secure {
			if a.Secure {
				return 1
			}
			return -1
		}
		return a.Accessed.Compare(b.Accessed)
	})
	m.all = slices.DeleteFunc(m.all, func(c Cookie) bool { return c.same(&worst) })
}

func (m *model) header(t *Target, now time.Time) string {
	m.expire(now)
	var found []*Cookie
	for i := range m.all {
		c := &m.all[i]
		if (&entry{Cookie: *c}).goesTo(t) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *Cookie) int {
		return cmp.Or(cmp.Compare(len(b.Path), len(a.Path)), a.Created.Compare(b.Created))
	})
	var b strings.Builder
	for _, c := range found {
		Pair{c.Name, c.Value}.Append(&b)
		c.Accessed = now
	}
	return b.String()
}

func TestStore_doesWhatThePlainestStoreDoes(t *testing.T) {
	hosts := []string{"a.test", "x.a.test", "y.x.a.test", "b.test", "co.uk", "c.co.uk", "10.0.0.1"}
	pick := func(rng *rand.Rand, of ...string) string { return of[rng.IntN(len(of))] }
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1))
		limits := Limits{CookieBytes: 4096, PerDomain: 4, Total: 7, HeaderBytes: -1}
		s, m := NewStore(limits), &model{limits: limits}
		now := noon
		for step := range 600 {
			// No two things happen at one time here: which goes first is then certain.
			now = now.Add(time.Duration(1+rng.IntN(3)) * time.Second)
			url := pick(rng, "http://", "https://") + pick(rng, hosts...) + pick(rng, "/", "/p", "/p/q")
			target := at(t, url)
			if rng.IntN(3) == 0 && s.only(target) {
				require.Equal(t, m.header(target, now), header(t, s, url, now), "seed %d, step %d: %s", seed, step, url)
				continue
			}
			line := pick(rng, "a", "b", "__Secure-c") + "=" + fmt.Sprint(step) + pick(rng, "", "; Path=/", "; Path=/p") +
				pick(rng, "", "", "; Domain="+pick(rng, hosts...)) + pick(rng, "", "", "; Secure") + pick(rng, "", "", "; Max-Age=5", "; Max-Age=0")
			r, err := Parse(line)
			require.NoError(t, err)
			require.ErrorIs(t, s.Put(&r, target, now), m.put(&r, target, now), "seed %d, step %d: %s %s", seed, step, url, line)
			want := append([]Cookie(nil), m.all...)
			ByPlace(want)
			got := listed(s, now)
			for i := range got { // the model counts those that were refused too
				got[i].Created, want[i].Created = time.Time{}, time.Time{}
			}
			require.Equal(t, want, got, "seed %d, step %d: %s %s", seed, step, url, line)
			s.check(t)
		}
	}
}

// only reports whether at most one cookie goes to t: several would be used at one time.
func (s *Store) only(t *Target) bool {
	n := 0
	for _, c := range s.All(noon, nil) {
		if (&entry{Cookie: c}).goesTo(t) {
			n++
		}
	}
	return n <= 1
}

// check looks at the places of all entries.
func (s *Store) check(t *testing.T) {
	n, ends := 0, 0
	for e := s.accessed.first; e != nil; e = e.next {
		n++
		require.Contains(t, e.site.cookies, e)
		if !e.Expires.IsZero() {
			ends++
			require.Same(t, e, s.ending[e.ending])
		} else {
			require.Equal(t, -1, e.ending)
		}
		if e.next != nil {
			require.Same(t, e, e.next.prev)
			require.False(t, e.next.Accessed.Before(e.Accessed))
		}
	}
	require.EqualValues(t, n, s.count.Load())
	require.Len(t, s.ending, ends)
	inSites := 0
	for key, home := range s.sites {
		require.NotEmpty(t, home.cookies, key)
		inSites += len(home.cookies)
		require.True(t, slices.IsSortedFunc(home.cookies, func(a, b *entry) int {
			if b.before(&a.Cookie) {
				return 1
			}
			return -1
		}))
	}
	require.Equal(t, n, inSites)
}
