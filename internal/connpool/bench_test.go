package connpool

import (
	"context"
	"strconv"
	"testing"
	"time"
)

// benchKey is as large as the key of an HTTP client: names, a proxy, and pointers that stand for settings.
type benchKey struct {
	scheme, host, port, proxy string
	tls, dialer               *int
	family                    int
}

type benchConn struct{ id int }

func (*benchConn) Capacity() int { return 1 }

func benchPool(l Limits) *Pool[benchKey, *benchConn] {
	return New(Config[benchKey, *benchConn]{
		Dial:   func(context.Context, benchKey) (*benchConn, error) { return &benchConn{id: 1}, nil },
		Close:  func(*benchConn, Reason) {},
		Check:  func(*benchConn, time.Duration, bool) (bool, Reason) { return true, 0 },
		Limits: l,
	})
}

var setting int

func keyOf(i int) benchKey {
	return benchKey{
		scheme: "https", host: "api" + strconv.Itoa(i) + ".example.com", port: "443", proxy: "http://proxy:3128",
		tls: &setting, dialer: &setting, family: 4,
	}
}

var benchLimits = Limits{
	Soft: 10, Hard: 100, IdleTimeout: 90 * time.Second, SurplusIdle: time.Second, MaxAge: 10 * time.Minute,
}

func loan(b *testing.B, p *Pool[benchKey, *benchConn], key benchKey) {
	e, _, err := p.Acquire(context.Background(), key, Want{Wait: 5 * time.Second, Connect: 5 * time.Second})
	if err != nil {
		b.Error(err)
		return
	}
	p.Release(e)
}

func BenchmarkLoan(b *testing.B) {
	total := benchLimits
	total.Total = 20000
	for _, c := range []struct {
		name    string
		limits  Limits
		origins int
	}{
		{"one origin", benchLimits, 1},
		{"10000 origins", benchLimits, 10000},
		{"one origin under a total limit", total, 1},
		{"10000 origins under a total limit", total, 10000},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := benchPool(c.limits)
			defer p.Close()
			keys := make([]benchKey, c.origins)
			for i := range keys {
				keys[i] = keyOf(i)
				loan(b, p, keys[i])
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				loan(b, p, keys[i%len(keys)])
			}
		})
	}
}

func BenchmarkLoanByHandle(b *testing.B) {
	p := benchPool(benchLimits)
	defer p.Close()
	origin := p.Origin(keyOf(0))
	b.ReportAllocs()
	for b.Loop() {
		e, _, err := origin.Acquire(context.Background(), Want{Wait: 5 * time.Second, Connect: 5 * time.Second})
		if err != nil {
			b.Fatal(err)
		}
		p.Release(e)
	}
}

func BenchmarkLoanParallel(b *testing.B) {
	for _, c := range []struct {
		name          string
		origins, each int
	}{
		{"one origin", 1, 8},
		{"64 origins", 64, 8},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := benchPool(benchLimits)
			defer p.Close()
			keys := make([]benchKey, c.origins)
			for i := range keys {
				keys[i] = keyOf(i)
			}
			b.ReportAllocs()
			b.SetParallelism(c.each)
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					loan(b, p, keys[i%c.origins])
				}
			})
		})
	}
}

// BenchmarkHandOver is a pool at its limit: every connection goes from hand to hand.
func BenchmarkHandOver(b *testing.B) {
	limits := benchLimits
	limits.Hard = 2
	p := benchPool(limits)
	defer p.Close()
	key := keyOf(0)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			loan(b, p, key)
		}
	})
}
