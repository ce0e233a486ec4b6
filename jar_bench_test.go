package parley_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley"
)

// BenchmarkCookies is what the cookies cost a request: nothing was ever stored, a
// handful of the host's own, and these in a jar of 10,000 domains with 20 cookies each.
func BenchmarkCookies(b *testing.B) {
	for _, domains := range []int{0, 1, 10_000} {
		b.Run(fmt.Sprintf("%d domains", domains), func(b *testing.B) {
			jar := parley.NewJar()
			for i := range domains {
				var lines []string
				for k := range 20 {
					lines = append(lines, fmt.Sprintf("name%d=0123456789abcdef; Max-Age=100000", k))
				}
				cookiesTo(b, jar, fmt.Sprintf("https://domain%d.test/", i), lines...)
			}
			req, err := parley.NewRequest("GET", "https://domain0.test/page")
			require.NoError(b, err)
			var sent *parley.Request
			layer := parley.Cookies(jar)(answering(&sent))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := layer.Send(b.Context(), req); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
