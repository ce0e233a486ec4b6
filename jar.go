package parley

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-0474a412/parley/internal/cookies"
	"github.com/seed-0474a412/parley/internal/urls"
)

// The limits of a [Jar] where [JarLimits] says 0.
const (
	DefaultCookieBytes        = 4096    // what RFC 6265bis, section 5.6, allows
	DefaultCookiesPerDomain   = 180     // as Chrome; the RFC asks for 50 at least
	DefaultCookiesTotal       = 250_000 // a crawler's; browsers keep some 3,000
	DefaultCookieHeaderBytes  = 8000    // servers take header lines of 8 KiB
	DefaultCookiesPerResponse = 100     // twice what curl takes
)

// JarLimits bound a [Jar]. 0: the default; negative: none.
type JarLimits struct {
	CookieBytes int // bytes of a cookie's name and value together; at most 1 MiB, also where there is no limit
	PerDomain   int // cookies of a registrable domain, such as example.co.uk with all names below it
	Total       int // cookies
	HeaderBytes int // bytes of a Cookie header, those of the request's own cookies included; what does not fit is not sent
	PerResponse int // cookies taken of one response, or of one SetCookies
}

func (l JarLimits) check() error {
	switch {
	case l.CookieBytes > maxCookieBytes:
		return failed("JarLimits: CookieBytes is over 1 MiB, which is all that a response head can hold")
	case l.PerDomain > 0 && l.Total > 0 && l.PerDomain > l.Total:
		return failed("JarLimits: PerDomain is more than Total: raise Total or leave PerDomain out")
	case l.CookieBytes > 0 && l.HeaderBytes > 0 && l.CookieBytes > l.HeaderBytes:
		return failed("JarLimits: a cookie of CookieBytes does not fit into HeaderBytes: raise that or lower CookieBytes")
	}
	return nil
}

const maxCookieBytes = 1 << 20

// orDefaults fills in the zeros.
func (l JarLimits) orDefaults() cookies.Limits {
	return cookies.Limits{
		CookieBytes: cmp.Or(l.CookieBytes, DefaultCookieBytes),
		PerDomain:   cmp.Or(l.PerDomain, DefaultCookiesPerDomain),
		Total:       cmp.Or(l.Total, DefaultCookiesTotal),
		HeaderBytes: cmp.Or(l.HeaderBytes, DefaultCookieHeaderBytes),
	}
}

// Jar keeps cookies by RFC 6265bis with the public suffix list. It is an
// [http.CookieJar] whose cookies can also be listed, edited, saved and loaded. Every
// session has one of its own unless [WithJar] gives it another.
//
// A Jar is safe for any number of goroutines. The zero value is an empty jar, ready to
// use; a Jar must not be copied: see [Jar.Copy].
//
// Some choices where the RFC leaves one, or is meant for browsers. SameSite is stored,
// and SameSite=None without Secure is refused, but no cookie is held back for it, since
// there is no page that a request could come from. What is sent to localhost, to names
// below it and to loopback addresses counts as sent over https (Secure Contexts,
// section 3.1). A cookie with a tab inside is refused, as a cookies.txt could not hold
// it. A Domain above the registrable domain of the host is refused. Where there are too
// many cookies, those that have ended go first; then of a registrable domain with too
// many those that are not Secure, before those that are; then any: always the one that
// was not used for longest (section 5.7).
type Jar struct{ core atomic.Pointer[jarCore] }

// jarCore is what a jar has once it was used: until then a request costs one look at
// the pointer. Nothing that prints follows it.
type jarCore struct {
	store       *cookies.Store
	perResponse atomic.Int64 // negative: no limit

	mu      sync.Mutex
	damaged map[string]bool // files that could not be loaded, which Save does not replace
}

// StoredCookie is a cookie of a [Jar]. It prints without its value, and encoding/json,
// with which logs are written, leaves that out, too: see [Jar.WriteJSON].
type StoredCookie struct {
	Name     string
	Value    string        `json:"-"` // as it was received, quotes included
	Domain   string        // the host in lower case and ASCII, or the domain of a cookie with Domain, without a dot in front
	HostOnly bool          // it is for Domain itself and not for the names below it
	Path     string        // begins with a slash; for it and all below it
	Secure   bool          // over https only
	HttpOnly bool          // kept from scripts; nothing to a client
	SameSite http.SameSite // 0: not said, or not known
	Expires  time.Time     // zero: it ends with the session
	Created  time.Time     // when it was first set
	Accessed time.Time     // when it was last sent or set
}

// String names the cookie and where it goes: <Cookie sid for a.test/path>.
func (c StoredCookie) String() string {
	return "<Cookie " + quoteBad(c.Name, 64) + " for " + quoteBad(c.Domain, 255) + quoteBad(c.Path, 64) + ">"
}

// NewJar makes an empty jar with the default limits.
func NewJar() *Jar { return new(Jar) }

// use gives the core, and makes it at first use.
func (j *Jar) use() *jarCore {
	if core := j.core.Load(); core != nil {
		return core
	}
	core := &jarCore{store: cookies.NewStore(JarLimits{}.orDefaults())}
	core.perResponse.Store(DefaultCookiesPerResponse)
	if j.core.CompareAndSwap(nil, core) {
		return core
	}
	return j.core.Load()
}

// SetLimits replaces the limits, and removes cookies that pass them. Limits that
// contradict each other are an error, and change nothing.
func (j *Jar) SetLimits(l JarLimits) error {
	if err := l.check(); err != nil {
		return fmt.Errorf("parley: %w", err)
	}
	core := j.use()
	core.perResponse.Store(int64(cmp.Or(l.PerResponse, DefaultCookiesPerResponse)))
	core.store.SetLimits(l.orDefaults())
	return nil
}

// Cookies gives the cookies that a request to u bears, in the order in which they are
// sent: longer paths first, then older cookies. It is part of [http.CookieJar]; of a
// cookie it gives name and value only.
func (j *Jar) Cookies(u *url.URL) []*http.Cookie {
	var few [32]cookies.Pair
	pairs := j.match(few[:0], u, cookies.Query{})
	if len(pairs) == 0 {
		return nil
	}
	list := make([]*http.Cookie, len(pairs))
	for i, p := range pairs {
		list[i] = &http.Cookie{Name: p.Name, Value: p.Value}
		if n := len(p.Value); n >= 2 && p.Value[0] == '"' && p.Value[n-1] == '"' {
			list[i].Value, list[i].Quoted = p.Value[1:n-1], true
		}
	}
	return list
}

// match appends what a request to u bears.
func (j *Jar) match(dst []cookies.Pair, u *url.URL, q cookies.Query) []cookies.Pair {
	core := j.core.Load()
	if core == nil || core.store.Empty() {
		return dst
	}
	t, ok := cookies.TargetOf(u)
	if !ok {
		return dst
	}
	return core.store.Match(dst, &t, time.Now(), &q)
}

// SetCookies stores cookies as if a response from u had set them. It is part of
// [http.CookieJar]: cookies that must not be stored are left out without a word.
// [Jar.Set] says why.
func (j *Jar) SetCookies(u *url.URL, list []*http.Cookie) {
	t, ok := cookies.TargetOf(u)
	if !ok || len(list) == 0 {
		return
	}
	core, now := j.use(), time.Now()
	for _, c := range list[:core.allowed(len(list))] {
		_ = core.set(&t, c, now) // an invalid cookie is ignored: RFC 6265bis, section 5.7
	}
}

// receive stores what the Set-Cookie lines of a response from u say.
func (j *Jar) receive(u *url.URL, lines []string) {
	t, ok := cookies.TargetOf(u)
	if !ok {
		return
	}
	core, now := j.use(), time.Now()
	for _, line := range lines[:core.allowed(len(lines))] {
		if r, err := cookies.Parse(line); err == nil {
			_ = core.store.Put(&r, &t, now) // an invalid cookie is ignored: RFC 6265bis, section 5.7
		}
	}
}

// allowed gives how many of n cookies are taken.
func (c *jarCore) allowed(n int) int {
	if most := c.perResponse.Load(); most >= 0 {
		return int(min(most, int64(n)))
	}
	return n
}

// Set stores a cookie as if a response from u had set it, and says why if it must not
// be stored: [ErrInvalidCookie]. A negative MaxAge removes the cookie.
func (j *Jar) Set(u *url.URL, c *http.Cookie) error {
	t, ok := cookies.TargetOf(u)
	var err error
	switch {
	case !ok:
		err = errNoCookieHost
	case c != nil && c.Path != "" && c.Path[0] != '/': // of a server's it counts as none
		err = errCookiePath
	default:
		err = j.use().set(&t, c, time.Now())
	}
	if err == nil {
		return nil
	}
	name := ""
	if c != nil {
		name = c.Name
	}
	return fmt.Errorf("parley: set cookie %q for %s: %w", quoteBad(name, 64), urls.Redacted(u), because(ErrInvalidCookie, err))
}

var (
	errNoCookieHost = errors.New("it needs a URL with http or https and a host")
	errNilCookie    = errors.New("there is none")
	errCookiePath   = errors.New("its path does not begin with a slash")
)

// set stores a cookie that a program made. Of that more is asked than of a server's,
// which other clients send back, too.
func (c *jarCore) set(t *cookies.Target, cookie *http.Cookie, now time.Time) error {
	if cookie == nil {
		return errNilCookie
	}
	if err := cookieFault(cookie.Name, cookie.Value); err != nil {
		return err
	}
	r := cookies.FromHTTP(cookie)
	return c.store.Put(&r, t, now)
}

// all gives copies of the cookies that pick wants; nil wants all.
func (j *Jar) all(pick func(*cookies.Cookie) bool) []cookies.Cookie {
	core := j.core.Load()
	if core == nil {
		return nil
	}
	return core.store.All(time.Now(), pick)
}

// All gives the cookies, ordered by domain, path and name; of two that differ in
// nothing else the one for the host only comes first. They are those of the moment in
// which the loop begins: the jar may be changed meanwhile.
func (j *Jar) All() iter.Seq[StoredCookie] {
	return func(yield func(StoredCookie) bool) {
		list := j.all(nil)
		cookies.ByPlace(list)
		for _, c := range list {
			if !yield(StoredCookie(c)) {
				return
			}
		}
	}
}

// Get gives the cookie of a name. domain and path, where they are not empty, must be
// those of the cookie. It fails with [ErrNoCookie], or with [ErrAmbiguousCookie] where
// several cookies match.
func (j *Jar) Get(name, domain, path string) (StoredCookie, error) {
	found := j.all(matching(name, domain, path))
	switch len(found) {
	case 0:
		return StoredCookie{}, fmt.Errorf("parley: get cookie %q: %w", quoteBad(name, 64), ErrNoCookie)
	case 1:
		return StoredCookie(found[0]), nil
	}
	cookies.ByPlace(found)
	return StoredCookie{}, fmt.Errorf("parley: get cookie %q: %w: name domain and path, say of %v or %v",
		quoteBad(name, 64), ErrAmbiguousCookie, StoredCookie(found[0]), StoredCookie(found[1]))
}

// Delete removes the cookies of a name, as [Jar.Get] finds them, and says how many.
func (j *Jar) Delete(name, domain, path string) int {
	return j.remove(matching(name, domain, path))
}

func matching(name, domain, path string) func(*cookies.Cookie) bool {
	domain = cookieDomain(domain)
	return func(c *cookies.Cookie) bool {
		return c.Name == name && (domain == "" || c.Domain == domain) && (path == "" || c.Path == path)
	}
}

// cookieDomain gives the form in which domains are stored.
func cookieDomain(domain string) string {
	domain = strings.TrimPrefix(domain, ".")
	if canonical, err := urls.CanonicalHost(domain); err == nil {
		return canonical
	}
	return domain // which no cookie has
}

func (j *Jar) remove(drop func(*cookies.Cookie) bool) int {
	core := j.core.Load()
	if core == nil {
		return 0
	}
	return core.store.Remove(time.Now(), drop)
}

// Clear removes all cookies.
func (j *Jar) Clear() {
	if core := j.core.Load(); core != nil {
		core.store.Clear()
	}
}

// ClearDomain removes the cookies of a domain and of all names below it, and says how
// many. A domain that no cookie has is no error.
func (j *Jar) ClearDomain(domain string) int {
	domain = cookieDomain(domain)
	return j.remove(func(c *cookies.Cookie) bool {
		return c.Domain == domain || domain != "" && strings.HasSuffix(c.Domain, "."+domain)
	})
}

// ClearExpired removes the cookies that have ended, and says how many. They are neither
// sent nor listed without it: it gives back their memory before the next use of the jar
// would.
func (j *Jar) ClearExpired() int {
	core := j.core.Load()
	if core == nil {
		return 0
	}
	return core.store.RemoveExpired(time.Now())
}

// ClearSession removes the cookies that end with the session, as a browser does when it
// is closed, and says how many.
func (j *Jar) ClearSession() int {
	return j.remove(func(c *cookies.Cookie) bool { return c.Expires.IsZero() })
}

// Len counts the cookies that have not ended.
func (j *Jar) Len() int {
	core := j.core.Load()
	if core == nil {
		return 0
	}
	return core.store.Len(time.Now())
}

// Copy gives a jar with the same cookies and limits, which does not change with j.
func (j *Jar) Copy() *Jar {
	out := NewJar()
	if from := j.core.Load(); from != nil {
		to := out.use()
		to.perResponse.Store(from.perResponse.Load())
		to.store.SetLimits(from.store.Limits())
		to.store.Merge(j.all(nil), time.Now())
	}
	return out
}

// String counts the cookies: <Jar 3 cookies>.
func (j *Jar) String() string { return fmt.Sprintf("<Jar %d cookies>", j.Len()) }
