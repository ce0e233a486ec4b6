package cookies

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// crowded is a store with cookies of many domains.
func crowded(tb testing.TB, domains, each int, limits Limits) (*Store, []*url.URL) {
	s := NewStore(limits)
	now := time.Now()
	sites := make([]*url.URL, domains)
	for i := range sites {
		sites[i] = &url.URL{Scheme: "https", Host: fmt.Sprintf("www.domain%d.example", i), Path: "/some/page"}
		t, ok := TargetOf(sites[i])
		require.True(tb, ok)
		for k := range each {
			line := fmt.Sprintf("name%d=0123456789abcdef; Path=/; Secure; Max-Age=100000", k)
			if k%2 == 0 {
				line += fmt.Sprintf("; Domain=domain%d.example", i)
			}
			r, err := Parse(line)
			require.NoError(tb, err)
			require.NoError(tb, s.Put(&r, &t, now))
		}
	}
	return s, sites
}

var none = Limits{CookieBytes: 4096, PerDomain: 180, Total: -1, HeaderBytes: 8000}

func TestMatchingAllocatesNothing(t *testing.T) {
	s, sites := crowded(t, 10, 20, none)
	var few [32]Pair
	now := time.Now()
	target, _ := TargetOf(sites[0])
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if len(s.Match(few[:0], &target, now, &Query{})) != 20 {
			t.Fail()
		}
	}))
}

func BenchmarkMatch(b *testing.B) {
	for _, domains := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("%d domains x 20", domains), func(b *testing.B) {
			s, sites := crowded(b, domains, 20, none)
			var few [32]Pair
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				i++
				t, _ := TargetOf(sites[i*7919%len(sites)])
				if len(s.Match(few[:0], &t, time.Now(), &Query{})) != 20 {
					b.Fatal("too few")
				}
			}
		})
	}
	b.Run("10000 domains x 20, at once", func(b *testing.B) {
		s, sites := crowded(b, 10_000, 20, none)
		var next atomic.Int64
		b.ReportAllocs()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			var few [32]Pair
			for pb.Next() {
				t, _ := TargetOf(sites[int(next.Add(7919))%len(sites)])
				s.Match(few[:0], &t, time.Now(), &Query{})
			}
		})
	})
}

func BenchmarkPut(b *testing.B) {
	const line = "name=0123456789abcdef; Path=/; Domain=a.example; Expires=Mon, 01 Jun 2099 12:00:00 GMT; Secure; HttpOnly; SameSite=Lax"
	u := &url.URL{Scheme: "https", Host: "www.a.example", Path: "/"}
	for _, full := range []struct {
		name   string
		limits Limits
	}{
		{"replacing", none},
		{"a full domain", Limits{CookieBytes: 4096, PerDomain: 180, Total: -1, HeaderBytes: 8000}},
		{"a full jar", Limits{CookieBytes: 4096, PerDomain: 180, Total: 200_000, HeaderBytes: 8000}},
	} {
		b.Run(full.name, func(b *testing.B) {
			s, _ := crowded(b, 10_000, 20, full.limits)
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				text := line
				host := u
				switch i++; full.name {
				case "a full domain":
					text = fmt.Sprintf("n%d=1", i)
				case "a full jar":
					host = &url.URL{Scheme: "https", Host: fmt.Sprintf("d%d.example", i), Path: "/"}
					text = "n=1"
				}
				t, _ := TargetOf(host)
				r, err := Parse(text)
				if err == nil {
					err = s.Put(&r, &t, time.Now())
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, line := range map[string]string{
		"plain":      "name=0123456789abcdef",
		"attributes": "name=0123456789abcdef; Path=/; Domain=a.example; Expires=Mon, 01 Jun 2099 12:00:00 GMT; Secure; HttpOnly; SameSite=Lax",
		"64 KiB":     "a=1" + strings.Repeat(";", 64<<10),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(line); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
