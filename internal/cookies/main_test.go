package cookies

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noon is the time in most tests.
var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// roomy are limits that no test meets by accident.
var roomy = Limits{CookieBytes: 4096, PerDomain: 180, Total: 10_000, HeaderBytes: 8000}

func at(t testing.TB, raw string) *Target {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	target, ok := TargetOf(u)
	require.True(t, ok, raw)
	return &target
}

// set takes a Set-Cookie line from the server at a URL.
func set(t testing.TB, s *Store, raw, line string, now time.Time) error {
	t.Helper()
	r, err := Parse(line)
	if err != nil {
		return err
	}
	return s.Put(&r, at(t, raw), now)
}

// header gives the Cookie header of a request.
func header(t testing.TB, s *Store, raw string, now time.Time) string {
	t.Helper()
	var b strings.Builder
	for _, p := range s.Match(nil, at(t, raw), now, &Query{}) {
		p.Append(&b)
	}
	return b.String()
}

// listed gives all cookies in the order of their places.
func listed(s *Store, now time.Time) []Cookie {
	all := s.All(now, nil)
	ByPlace(all)
	return all
}
