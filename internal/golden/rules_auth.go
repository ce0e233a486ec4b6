package golden

import (
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"hash"
	"net/http"
	"slices"
	"strings"

	"github.com/seed-0474a412/parley/internal/challenge"
)

// authRules say who a request comes from, and which challenges are answered.
func authRules() []Rule {
	return []Rule{
		{
			Name: "the call's own Authorization header wins over the session's auth and over user information in the URL",
			Reason: "what is said of one request is meant for that one, and what is said in so many words wins over what a URL " +
				"happens to hold; the systems replace the header by either",
			When: func(c *Case) bool {
				call := c.Calls[len(c.Calls)-1]
				return call.Auth == nil && hasField(call.Headers, "Authorization") &&
					(c.Client.Auth != nil || strings.Contains(takeApart(call.URL).authority, "@"))
			},
			Then: func(c *Case, e *Expected) {
				for _, f := range c.Calls[len(c.Calls)-1].Headers.List {
					if value, ok := f.Value.(string); ok && strings.EqualFold(f.Name, "Authorization") {
						e.setHeader("Authorization", value)
					}
				}
			},
		}, {
			Name:   "a user name with a colon is refused",
			Reason: "RFC 7617 section 2: the server would read another name and another password",
			When: func(c *Case) bool {
				var login []string
				return json.Unmarshal(c.auth(), &login) == nil && len(login) == 2 && strings.Contains(login[0], ":")
			},
			Then: refuse(Unsent),
		}, {
			Name: "netrc gives logins to a session, but its default entry only where that is asked for",
			Reason: "as requests; a login that is sent to every host there is leaks, so that NetrcAuth alone takes the default " +
				"entry. httpx reads no netrc by itself",
			When: func(c *Case) bool { return c.Files["netrc"] != "" && c.Client.TrustEnv },
			Then: func(c *Case, e *Expected) {
				follow("requests")(c, e)
				if strings.Contains(c.Files["netrc"], "default ") {
					follow("httpx")(c, e)
				}
			},
		}, {
			Name: "a Digest challenge that cannot be answered leaves the 401 as it is",
			Reason: "one without realm or nonce, with a qop or an algorithm beyond RFC 7616 (SHA and SHA-512 were never " +
				"registered), or with a -sess algorithm and no qop, which no server could check; the systems fail, send the " +
				"request again without credentials, or guess",
			When: func(c *Case) bool {
				list := c.challenges()
				return len(list) > 0 && !slices.ContainsFunc(list, answerable)
			},
			Then: func(_ *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					o.Replies, o.Sent = []Reply{{Status: http.StatusUnauthorized}}, o.Sent[:1]
				})
			},
		}, {
			Name:   "qop auth-int, SHA-512-256 and hashed user names are answered",
			Reason: "RFC 7616 sections 3.4.1 to 3.4.4; the systems fail or leave the credentials out",
			When: anyChallenge(func(ch challenge.Challenge) bool {
				algorithm, _ := ch.Get("algorithm")
				hashed, _ := ch.Get("userhash")
				qop, _ := ch.Get("qop")
				return qop == "auth-int" || hashed == "true" || strings.HasPrefix(algorithm, "SHA-512-256")
			}),
			Then: expectAnswered,
		}, {
			Name:   "space around the equals sign of a challenge is ignored",
			Reason: "RFC 9110 section 11.2 asks for it (BWS); the systems fail",
			When: func(c *Case) bool {
				return c.digestLogin() != nil && anyAnswer(func(a Answer) bool {
					return slices.ContainsFunc(a.header("WWW-Authenticate"), func(v string) bool { return strings.Contains(v, " = ") })
				})(c)
			},
			Then: expectAnswered,
		}, {
			Name:   "quotes and backslashes in a user name are escaped for Digest",
			Reason: "RFC 9110 section 5.6.4: the value would end early; the systems write them as they are",
			When: func(c *Case) bool {
				login := c.digestLogin()
				return login != nil && strings.ContainsAny(login[0], `"\`)
			},
			Then: expectAnswered,
		}, {
			Name: "a stale nonce is answered once more",
			Reason: "RFC 7616 section 3.3: the server says that the password was right, and gives a new nonce; the systems return " +
				"the 401. A server that says so again is not believed",
			When: anyChallenge(func(ch challenge.Challenge) bool {
				stale, _ := ch.Get("stale")
				return stale == "true"
			}),
			Then: func(c *Case, e *Expected) {
				list := c.challenges()
				e.edit(func(o *Outcome) {
					o.Replies = []Reply{{Status: http.StatusOK}}
					o.Sent = append(o.Sent[:2:2], c.withDigest(o.Sent[0], list[len(list)-1]))
				})
			},
		}, {
			Name: "a body that can be read once is not sent again after a challenge",
			Reason: "the server would get an empty one, as it does from requests; the call fails with ErrBodyNotRewindable, " +
				"which httpx has a like of",
			When: func(c *Case) bool {
				return c.Sends("chunks") && slices.ContainsFunc(c.challenges(), answerable)
			},
			Then: func(_ *Case, e *Expected) {
				e.edit(func(o *Outcome) {
					o.Replies = []Reply{{Failure: &Failure{Kinds: []string{"ErrBodyNotRewindable"}, Text: "by rule"}}}
					o.Sent = o.Sent[:1]
				})
			},
		},
	}
}

// auth gives what the last call's credentials are, its own or the session's.
func (c *Case) auth() json.RawMessage {
	if own := c.Calls[len(c.Calls)-1].Auth; own != nil {
		return own
	}
	return c.Client.Auth
}

// digestLogin gives user name and password for Digest; nil: the case is about something else.
func (c *Case) digestLogin() []string {
	var auth struct{ Digest []string }
	if c.auth() == nil || json.Unmarshal(c.auth(), &auth) != nil {
		return nil
	}
	return auth.Digest
}

// challenges gives those that a client with a Digest login meets in answers with status 401, in their order.
func (c *Case) challenges() []challenge.Challenge {
	if c.digestLogin() == nil {
		return nil
	}
	var list []challenge.Challenge
	for _, a := range c.Answers() {
		if a.status() == http.StatusUnauthorized {
			list = append(list, challenge.Parse(a.header("WWW-Authenticate"))...)
		}
	}
	return slices.DeleteFunc(list, func(ch challenge.Challenge) bool { return !ch.Is("Digest") })
}

func anyChallenge(when func(challenge.Challenge) bool) func(*Case) bool {
	return func(c *Case) bool { return slices.ContainsFunc(c.challenges(), when) }
}

// digestHashes are the algorithms of RFC 7616.
var digestHashes = map[string]func() hash.Hash{"MD5": md5.New, "SHA-256": sha256.New, "SHA-512-256": sha512.New512_256}

// answerable tells a challenge that has all that an answer needs.
func answerable(ch challenge.Challenge) bool {
	_, realm := ch.Get("realm")
	_, nonce := ch.Get("nonce")
	qop, _ := ch.Get("qop")
	algorithm, named := ch.Get("algorithm")
	plain, session := strings.CutSuffix(algorithm, "-sess")
	return realm && nonce && (!named || digestHashes[plain] != nil) && (qop == "" && !session || strings.HasPrefix(qop, "auth"))
}

// expectAnswered expects that the challenge of the only answer with one is answered, and that this is enough.
func expectAnswered(c *Case, e *Expected) {
	e.edit(func(o *Outcome) {
		o.Replies = []Reply{{Status: http.StatusOK}}
		o.Sent = []Sent{o.Sent[0], c.withDigest(o.Sent[0], c.challenges()[0])}
	})
}

// withDigest gives a request with the answer to a challenge, the first with its nonce.
func (c *Case) withDigest(s Sent, ch challenge.Challenge) Sent {
	get := func(name string) string { v, _ := ch.Get(name); return v }
	algorithm := get("algorithm")
	sum := func(parts ...string) string {
		h := md5.New()
		if algorithm != "" {
			h = digestHashes[algorithm]()
		}
		h.Write([]byte(strings.Join(parts, ":")))
		return hex.EncodeToString(h.Sum(nil))
	}
	login, realm, nonce, qop := c.digestLogin(), get("realm"), get("nonce"), get("qop")
	second := []string{s.Method, s.Target}
	if qop == "auth-int" {
		second = append(second, sum(string(s.Body)))
	}
	user := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(login[0])
	if get("userhash") == "true" {
		user = sum(login[0], realm) + `", userhash="true`
	}
	value := `Digest username="` + user + `", realm="` + realm + `", nonce="` + nonce + `", uri="` + s.Target + `", qop=` + qop +
		`, nc=00000001, cnonce="` + c.CNonce + `", response="` + sum(sum(login[0], realm, login[1]), nonce, "00000001", c.CNonce, qop, sum(second...)) + `"`
	for _, name := range []string{"algorithm", "opaque"} {
		if v := get(name); v != "" {
			value += ", " + name + `="` + v + `"`
		}
	}
	s.Headers = append(slices.Clone(s.Headers), [2]string{"Authorization", value})
	return s
}

// levelDigest writes an Authorization header of the Digest scheme with its fields in the order of their names, without
// quotes and a default algorithm. Others, and what cannot be read, stay as they are.
func levelDigest(value string) string {
	list := challenge.Parse([]string{value})
	if len(list) != 1 || list[0].Broken || !list[0].Is("Digest") {
		return value
	}
	var fields []string
	for _, p := range list[0].Params {
		if p.Name != "algorithm" || p.Value != "MD5" {
			fields = append(fields, p.Name+"="+p.Value)
		}
	}
	slices.Sort(fields)
	return "Digest " + strings.Join(fields, " ")
}
