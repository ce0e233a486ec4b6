package golden

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func judged(seen map[string]Outcome, agree bool) *Case {
	return &Case{Topic: "errors", ID: "x", Note: "a note", Calls: []Call{{}}, Seen: seen, Agree: agree}
}

func status(n int) Outcome { return Outcome{Replies: []Reply{{Status: n}}} }

func TestJudge(t *testing.T) {
	always := func(*Case) bool { return true }
	for name, tt := range map[string]struct {
		rules    []Rule
		got      int
		followed string
		departs  bool
	}{
		"either system may be followed":       {nil, 201, "requests", false},
		"neither is a departure":              {nil, 500, "", true},
		"a rule may choose one":               {[]Rule{{Name: "r", When: always, Then: follow("httpx")}}, 200, "httpx", false},
		"the other one then departs":          {[]Rule{{Name: "r", When: always, Then: follow("httpx")}}, 201, "", true},
		"a rule that does not apply":          {[]Rule{{Name: "r", When: func(*Case) bool { return false }, Then: fail("ErrRead")}}, 200, "httpx", false},
		"what a rule expects is checked":      {[]Rule{{Name: "r", When: always, Then: fail("ErrRead")}}, 200, "", true},
		"an unseen system changes nothing":    {[]Rule{{Name: "r", When: always, Then: follow("clients")}}, 200, "httpx", false},
		"rules change one after the other":    {[]Rule{{Name: "a", When: always, Then: follow("requests")}, {Name: "b", When: always, Then: follow("httpx")}}, 201, "", true},
		"an expectation is never written to":  {[]Rule{{Name: "r", When: always, Then: func(_ *Case, e *Expected) { e.setHeader("X", "1") }}}, 200, "the rule, from httpx", false},
		"nothing may be left to be met, then": {[]Rule{{Name: "r", When: always, Then: func(_ *Case, e *Expected) { e.Alternatives = nil }}}, 200, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			c := judged(map[string]Outcome{"httpx": status(200), "requests": status(201)}, false)
			v := Judge(c, tt.rules, status(tt.got))
			require.Equal(t, tt.departs, len(v.Departures) > 0)
			require.Equal(t, tt.followed, v.Followed)
			require.Equal(t, status(200), c.Seen["httpx"])
		})
	}
}

func TestTheReportSaysWhoDidWhat(t *testing.T) {
	c := judged(map[string]Outcome{"httpx": status(200), "requests": status(201)}, false)
	got := Outcome{Replies: []Reply{{Failure: &Failure{Kinds: []string{"ErrRead"}, Text: "it broke"}}}}
	report := Judge(c, nil, got).Report(c, got)
	for _, part := range []string{"errors/x", "a note", "parley:", "it broke", "httpx:", "status 200", "requests:", "status 201", "not httpx: reply: want"} {
		require.Contains(t, report, part)
	}
}

func TestRulesAreNamedAndReasoned(t *testing.T) {
	var names []string
	for _, rule := range Rules() {
		require.NotEmpty(t, rule.Name)
		require.NotEmpty(t, rule.Reason)
		require.NotContains(t, names, rule.Name)
		names = append(names, rule.Name)
	}
}

// Where the systems agree on a URL and no rule speaks, the rules for URLs give the same.
func TestTheWantedTargetIsWhatTheSystemsAgreeOn(t *testing.T) {
	checked := 0
	for _, c := range loadAll(t) {
		if !slices.Contains([]string{"base_url", "query"}, c.Topic) || !c.Agree ||
			slices.ContainsFunc(urlRules(), func(r Rule) bool { return r.When(c) }) {
			continue
		}
		for system, outcome := range c.Seen {
			for _, sent := range outcome.Sent {
				require.Equal(t, sent.Target, c.target(), "%s/%s: %s", c.Topic, c.ID, system)
				checked++
			}
		}
	}
	require.Greater(t, checked, 50)
}

func TestTarget(t *testing.T) {
	for name, tt := range map[string]struct{ base, url, want string }{
		"no base":                    {"", "http://a.test", "/"},
		"a base without a path":      {"http://a.test", "p", "/p"},
		"the base itself":            {"http://a.test/v1", "", "/v1"},
		"a prefix":                   {"http://a.test/v1", "/p", "/v1/p"},
		"only the missing slash":     {"http://a.test/v1//", "p", "/v1//p"},
		"queries are merged":         {"http://a.test/v1?a=1&b=2", "p?b=3", "/v1/p?a=1&b=3"},
		"an absolute URL":            {"http://a.test/v1", "http://b.test/x/../y/.", "/y/"},
		"illegal bytes":              {"http://a.test", "a b|%2f%zz?[", "/a%20b%7C%2f%25zz?%5B"},
		"an empty query stays":       {"", "http://a.test/p?", "/p?"},
		"a fragment is never sent":   {"", "http://a.test/p?a=1#f", "/p?a=1"},
		"dots written otherwise":     {"", "http://a.test/a/%2E%2e/b", "/b"},
		"nothing above the root":     {"", "http://a.test/../../b", "/b"},
		"empty segments are segment": {"", "http://a.test//a//b", "//a//b"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Case{Client: Client{BaseURL: tt.base}, Calls: []Call{{URL: tt.url}}}
			require.Equal(t, tt.want, c.target())
		})
	}
}
