package golden

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// comparedTopics are those whose every recorded field is compared.
var comparedTopics = []string{"base_url", "query", "headers", "errors"}

func TestASystemDoesNotDepartFromItself(t *testing.T) {
	for _, c := range loadAll(t) {
		for system, outcome := range c.Seen {
			if slices.ContainsFunc(outcome.Replies, func(r Reply) bool { return r.Failure != nil }) {
				continue // the kinds of a recorded failure are those that are allowed
			}
			require.Empty(t, c.Compare(outcome, outcome), "%s/%s: %s", c.Topic, c.ID, system)
		}
	}
}

func TestTheComparisonFindsWhatTheRecorderFound(t *testing.T) {
	for _, c := range loadAll(t) {
		requests, ok := c.Seen["requests"]
		if !ok || !slices.Contains(comparedTopics, c.Topic) && c.Topic != "bodies" {
			continue
		}
		departures := c.Compare(c.Seen["httpx"], requests)
		if c.Agree {
			require.Empty(t, departures, "%s/%s", c.Topic, c.ID)
			continue
		}
		// The recorder also tells "" from "/" as the path of a reply (RFC 3986, section 6.2.3), and spacing in a JSON body
		// that is not marked as JSON.
		if c.Seen["httpx"].Replies[0].URL == requests.Replies[0].URL && !c.Sends("json") {
			require.NotEmpty(t, departures, "%s/%s", c.Topic, c.ID)
		}
	}
}

func TestWhatIsCompared(t *testing.T) {
	sent := func(change func(*Sent)) Outcome {
		s := Sent{Origin: "http://a.test", Method: "GET", Target: "/", Framing: "none", Headers: [][2]string{{"Host", "a.test"}}}
		change(&s)
		return Outcome{Replies: []Reply{{Status: 200}}, Sent: []Sent{s}}
	}
	header := func(name, value string) Outcome {
		return sent(func(s *Sent) { s.Headers = append(s.Headers, [2]string{name, value}) })
	}
	failed := func(kinds ...string) Outcome { return Outcome{Replies: []Reply{{Failure: &Failure{Kinds: kinds}}}} }
	plain := sent(func(*Sent) {})
	text := func(text string) Outcome { return Outcome{Replies: []Reply{{Status: 200, Text: &text}}} }
	for name, tt := range map[string]struct {
		topic     string
		want, got Outcome
		same      bool
	}{
		"the target":                           {"query", plain, sent(func(s *Sent) { s.Target = "/x" }), false},
		"the method":                           {"query", plain, sent(func(s *Sent) { s.Method = "PUT" }), false},
		"the body":                             {"bodies", plain, sent(func(s *Sent) { s.Body = []byte("x") }), false},
		"a header's value":                     {"query", header("X", "1"), header("X", "2"), false},
		"a header more":                        {"query", plain, header("X", "1"), false},
		"not the case of names":                {"query", header("X", "1"), header("x", "1"), true},
		"not User-Agent outside headers":       {"query", plain, header("User-Agent", "x"), true},
		"that there is a User-Agent":           {"headers", plain, header("User-Agent", "x"), false},
		"not which User-Agent":                 {"headers", header("User-Agent", "y"), header("User-Agent", "x"), true},
		"not Connection: keep-alive":           {"headers", plain, header("Connection", "keep-alive"), true},
		"Connection: close":                    {"headers", plain, header("Connection", "close"), false},
		"the number of requests":               {"query", plain, Outcome{Replies: plain.Replies}, false},
		"not what was sent, in errors":         {"errors", plain, Outcome{Replies: plain.Replies}, true},
		"the status":                           {"errors", plain, Outcome{Replies: []Reply{{Status: 404}}}, false},
		"the text":                             {"errors", text("a"), text("b"), false},
		"an error against an answer":           {"errors", plain, failed("ErrConnect"), false},
		"an answer against an error":           {"errors", failed("ErrConnect"), plain, false},
		"the kind of an error":                 {"errors", failed("ErrConnect"), failed("ErrRead"), false},
		"one kind of several":                  {"errors", failed("ErrConnect", "ErrRead"), failed("ErrRead", "ErrNetwork"), true},
		"any error when nothing was sent":      {"errors", failed(Unsent), failed("ErrRead"), true},
		"framing in headers":                   {"headers", plain, sent(func(s *Sent) { s.Framing = "content-length" }), false},
		"not the framing of nothing elsewhere": {"query", plain, sent(func(s *Sent) { s.Framing = "content-length" }), true},
		"chunks, which are framing":            {"query", plain, sent(func(s *Sent) { s.Framing = "chunked" }), false},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Case{Topic: tt.topic, Calls: []Call{{}}}
			departures := c.Compare(tt.want, tt.got)
			if tt.same {
				require.Empty(t, departures)
			} else {
				require.NotEmpty(t, departures)
			}
		})
	}
}

func TestJSONBodiesAreComparedByValue(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b string
		same bool
	}{
		"spacing":          {`{"a": 1}`, `{"a":1}`, true},
		"escapes":          {`"\u00e9"`, `"é"`, true},
		"numbers":          {`1.0`, `1`, true},
		"order of members": {`{"a":1,"b":2}`, `{"b":2,"a":1}`, false},
		"values":           {`[1]`, `[2]`, false},
		"what is no JSON":  {`{`, `{ `, false},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tt.same, sameJSON([]byte(tt.a), []byte(tt.b))) })
	}
}
