package urls

import (
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPlainFormsCostWhatTheyMust(t *testing.T) {
	b := newBase(t, "https://api.example.com/v1")
	var u url.URL
	for name, test := range map[string]struct {
		most float64
		run  func()
	}{
		"parsing":                 {0, func() { _ = ParseInto(&u, "https://api.example.com:8443/v1/users?page=2") }},
		"parsing an IPv4 host":    {0, func() { _ = ParseInto(&u, "http://127.0.0.1:8080/get") }},
		"joining":                 {1, func() { _, _ = b.JoinInto(&u, "users/1?page=2") }},
		"joining an absolute URL": {0, func() { _, _ = b.JoinInto(&u, "https://api.example.com/v1") }},
		"searching a key":         {0, func() { _ = HasKey("a=1&b%20c=2", "b c") }},
		"comparing origins":       {0, func() { _ = SameOrigin(&b.url, &u) }},
	} {
		require.LessOrEqual(t, testing.AllocsPerRun(100, test.run), test.most, name)
	}
}

func BenchmarkParseInto(b *testing.B) {
	var u url.URL
	for name, raw := range map[string]string{
		"plain":         "https://api.example.com:8443/v1/users/12345?page=2&limit=50",
		"loopback":      "http://127.0.0.1:8080/get",
		"encoded":       "https://api.example.com/a%20b/c d?q=é",
		"international": "https://bücher.example/v1",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := ParseInto(&u, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("net-url", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := url.Parse("https://api.example.com:8443/v1/users/12345?page=2&limit=50"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkJoinInto(b *testing.B) {
	var u url.URL
	for _, test := range []struct{ name, base, ref string }{
		{"plain", "https://api.example.com/v1", "users/12345?page=2"},
		{"queries", "https://api.example.com/v1?key=1", "users/12345?page=2"},
		{"dots", "https://api.example.com/v1", "./users/../groups"},
		{"absolute", "https://api.example.com/v1", "https://uploads.example.com/x"},
	} {
		b.Run(test.name, func(b *testing.B) {
			base := newBase(b, test.base)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := base.JoinInto(&u, test.ref); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
