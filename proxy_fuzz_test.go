package parley_test

import (
	"strings"
	"testing"

	"github.com/seed-0474a412/parley"
)

// FuzzNewProxy: whatever the URL of a proxy is, it is taken in one form or refused, and
// its password is shown by neither.
func FuzzNewProxy(f *testing.F) {
	for _, seed := range []string{
		"http://p.test", "p.test:8080", "https://u:PASSWORD@p.test", "socks5h://u:PASSWORD@[::1]:80", "socks5://p.test:0443",
		"://", "http//p", "http://[bad", "ftp://u:PASSWORD@p", "u:PASSWORD@p.test", "http://u:PASSWORD%0a@p", "http://p/PASSWORD?x#y", "  ",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parley.NewProxy(text)
		if err != nil {
			if userInfo(text) && strings.Contains(err.Error(), "PASSWORD") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		u, err := p.For(nil)
		if err != nil || u == nil || u.User != nil {
			t.Fatalf("%q: %v %v", text, u, err)
		}
		again, err := parley.NewProxy(u.String())
		if err != nil || again.String() != p.String() {
			t.Fatalf("%q becomes %v, and that %v, %v", text, p, again, err)
		}
	})
}

// userInfo reports whether the one secret of a text is where a password belongs.
func userInfo(text string) bool {
	before, after, found := strings.Cut(text, ":PASSWORD@")
	return found && !strings.Contains(before+after, "PASSWORD")
}
