package quota_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/quota"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// header makes one of names and values.
func header(fields ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		fields []string
		want   []quota.Window
	}{
		"nothing": {nil, nil},
		"the current draft": {
			[]string{"RateLimit", `"default";r=50;t=30`},
			[]quota.Window{{Name: "default", Left: 50, Reset: 30 * time.Second, Counts: true}},
		},
		"several policies, with what is said of them": {
			[]string{"RateLimit", `"burst";r=0;t=6, "daily";r=400;t=3600`, "RateLimit-Policy", `"burst";q=100;w=60,"daily";q=1000;w=86400;qu="requests"`},
			[]quota.Window{
				{Name: "burst", Limit: 100, Reset: 6 * time.Second, Span: time.Minute, Counts: true},
				{Name: "daily", Limit: 1000, Left: 400, Reset: time.Hour, Span: 24 * time.Hour, Counts: true},
			},
		},
		"a reset that is not said is that of the window": {
			[]string{"RateLimit", `"a";r=0`, "RateLimit-Policy", `"a";q=5;w=10`},
			[]quota.Window{{Name: "a", Limit: 5, Reset: 10 * time.Second, Span: 10 * time.Second, Counts: true}},
		},
		"neither reset nor window":         {[]string{"RateLimit", `"a";r=0`}, nil},
		"a policy that is malformed":       {[]string{"RateLimit", `"a";r=1;t=2`, "RateLimit-Policy", `"a`}, []quota.Window{{Name: "a", Left: 1, Reset: 2 * time.Second, Counts: true}}},
		"names without quotes":             {[]string{"RateLimit", "default;r=5;t=3"}, []quota.Window{{Name: "default", Left: 5, Reset: 3 * time.Second, Counts: true}}},
		"a partition key":                  {[]string{"RateLimit", `"a";r=5;t=3;pk=:c2VjcmV0:`}, []quota.Window{{Name: "a", Left: 5, Reset: 3 * time.Second, Counts: true}}},
		"bytes are not counted":            {[]string{"RateLimit", `"a";r=5;t=3`, "RateLimit-Policy", `"a";q=100;w=9;qu="content-bytes"`}, []quota.Window{{Name: "a", Left: 5, Reset: 3 * time.Second}}},
		"requests at once are no rate":     {[]string{"RateLimit", `"a";r=0;t=3;qu="concurrent-requests"`}, nil},
		"the form of version 07":           {[]string{"RateLimit", "limit=100, remaining=50, reset=5"}, []quota.Window{{Name: "RateLimit", Limit: 100, Left: 50, Reset: 5 * time.Second, Counts: true}}},
		"on several lines":                 {[]string{"RateLimit", "limit=100", "RateLimit", "remaining=50, reset=5"}, []quota.Window{{Name: "RateLimit", Limit: 100, Left: 50, Reset: 5 * time.Second, Counts: true}}},
		"three fields":                     {[]string{"RateLimit-Limit", "100, 100;w=10", "RateLimit-Remaining", "7", "RateLimit-Reset", "9"}, []quota.Window{{Name: "Ratelimit", Limit: 100, Left: 7, Reset: 9 * time.Second, Counts: true}}},
		"three fields with X":              {[]string{"X-RateLimit-Limit", "100", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "9"}, []quota.Window{{Name: "X-Ratelimit", Limit: 100, Reset: 9 * time.Second, Counts: true}}},
		"another spelling":                 {[]string{"X-Rate-Limit-Remaining", "0", "X-Rate-Limit-Reset", "9"}, []quota.Window{{Name: "X-Rate-Limit", Reset: 9 * time.Second, Counts: true}}},
		"a moment":                         {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1767323105"}, []quota.Window{{Name: "X-Ratelimit", Reset: time.Minute, Counts: true}}},
		"a moment in milliseconds":         {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1767323105500"}, []quota.Window{{Name: "X-Ratelimit", Reset: time.Minute + 500*time.Millisecond, Counts: true}}},
		"a moment by the server's clock":   {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1767323105", "Date", "Fri, 02 Jan 2026 03:05:00 GMT"}, []quota.Window{{Name: "X-Ratelimit", Reset: 5 * time.Second, Counts: true}}},
		"a moment that has passed":         {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1700000000"}, []quota.Window{{Name: "X-Ratelimit", Counts: true}}},
		"a fraction":                       {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1.5"}, []quota.Window{{Name: "X-Ratelimit", Reset: 1500 * time.Millisecond, Counts: true}}},
		"the current draft before others":  {[]string{"RateLimit", `"a";r=5;t=3`, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "9"}, []quota.Window{{Name: "a", Left: 5, Reset: 3 * time.Second, Counts: true}}},
		"malformed, but there are others":  {[]string{"RateLimit", `"a`, "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "9"}, []quota.Window{{Name: "X-Ratelimit", Reset: 9 * time.Second, Counts: true}}},
		"centuries":                        {[]string{"RateLimit", `"a";r=0;t=999999999999999`}, []quota.Window{{Name: "a", Reset: quota.Forever, Counts: true}}},
		"more than centuries":              {[]string{"RateLimit", `"a";r=0;t=9999999999999999`}, nil},
		"a moment in centuries":            {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1e300"}, []quota.Window{{Name: "X-Ratelimit", Reset: quota.Forever, Counts: true}}},
		"no number":                        {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "NaN"}, nil},
		"a negative reset":                 {[]string{"X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "-9"}, nil},
		"a negative remainder":             {[]string{"RateLimit", `"a";r=-1;t=3`}, nil},
		"no remainder":                     {[]string{"RateLimit", `"a";t=3`}, nil},
		"no reset":                         {[]string{"X-RateLimit-Remaining", "0"}, nil},
		"from a cache":                     {[]string{"RateLimit", `"a";r=0;t=3`, "Age", "7"}, nil},
		"fresh through a cache":            {[]string{"RateLimit", `"a";r=0;t=3`, "Age", "0"}, []quota.Window{{Name: "a", Reset: 3 * time.Second, Counts: true}}},
		"more policies than anybody has":   {[]string{"RateLimit", `a;r=0;t=1,b;r=0;t=1,c;r=0;t=1,d;r=0;t=1,e;r=0;t=1,f;r=0;t=1,g;r=0;t=1,h;r=0;t=1,i;r=0;t=1`}, nil},
		"a comma too many is forgiven":     {[]string{"RateLimit", `"a";r=1;t=2,`}, []quota.Window{{Name: "a", Left: 1, Reset: 2 * time.Second, Counts: true}}},
		"an escape in a name":              {[]string{"RateLimit", `"a\"b";r=1;t=2`}, []quota.Window{{Name: `a"b`, Left: 1, Reset: 2 * time.Second, Counts: true}}},
		"a wrong escape":                   {[]string{"RateLimit", `"a\b";r=1;t=2`}, nil},
		"a control character in a name":    {[]string{"RateLimit", "\"a\x01\";r=1;t=2"}, nil},
		"a parameter without a value":      {[]string{"RateLimit", `"a";r=1;t=2;x`}, []quota.Window{{Name: "a", Left: 1, Reset: 2 * time.Second, Counts: true}}},
		"a parameter without a name":       {[]string{"RateLimit", `"a";r=1;t=2;=x`}, nil},
		"a value that is missing":          {[]string{"RateLimit", `"a";r=`}, nil},
		"members that are not apart":       {[]string{"RateLimit", `"a";r=1;t=2 "b"`}, nil},
		"a byte sequence that is not over": {[]string{"RateLimit", `"a";r=1;t=2;pk=:abc`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, quota.Read(header(test.fields...), now))
		})
	}
}

// What a server says is bounded, whatever it says.
func FuzzRead(f *testing.F) {
	f.Add(`"default";r=50;t=30`, `"default";q=100;w=60`, "0", "1767323105")
	f.Add("limit=100, remaining=50, reset=5", "100;w=10", "7", "1e400")
	f.Add(`"a\"b";r=1;t=2;pk=:YQ==:;x`, "", "-1", "-1")
	f.Fuzz(func(t *testing.T, current, policy, left, reset string) {
		h := http.Header{"Ratelimit": {current}, "Ratelimit-Policy": {policy}, "X-Ratelimit-Remaining": {left}, "X-Ratelimit-Reset": {reset}}
		windows := quota.Read(h, now)
		if len(windows) > 8 {
			t.Fatalf("%d windows", len(windows))
		}
		for _, w := range windows {
			if w.Left < 0 || w.Limit < 0 || w.Reset < 0 {
				t.Fatalf("%+v", w)
			}
		}
	})
}
