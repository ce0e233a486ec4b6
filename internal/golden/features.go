package golden

import (
	"slices"
	"strconv"
	"strings"
)

// What a case needs of a client, told by its input.

// UsesResource reports whether the case is about a URL under a session, which only clients has.
func (c *Case) UsesResource() bool { return c.Client.Trailing != "" || len(c.Client.Append) > 0 }

// Redirects reports whether a call may have to follow an answer to another URL.
func (c *Case) Redirects() bool {
	follows := slices.ContainsFunc(c.Calls, func(call Call) bool { return call.Follow == nil || *call.Follow })
	return follows && slices.ContainsFunc(c.Answers(), func(a Answer) bool {
		return a.status()/100 == 3 && len(a.header("Location")) > 0
	})
}

// GivesAuth reports whether credentials are given by other means than the URL.
func (c *Case) GivesAuth() bool {
	return c.Client.Auth != nil || len(c.Files) > 0 ||
		slices.ContainsFunc(c.Calls, func(call Call) bool { return call.Auth != nil })
}

// UsesProxy reports whether the environment names a proxy that the client is to use.
func (c *Case) UsesProxy() bool {
	for name := range c.Env {
		if strings.HasSuffix(strings.ToLower(name), "_proxy") {
			return c.Client.TrustEnv
		}
	}
	return false
}

// Sends reports whether a call has a body of that kind.
func (c *Case) Sends(kind string) bool {
	return slices.ContainsFunc(c.Calls, func(call Call) bool { return call.Body.Is(kind) })
}

// head gives the first bytes of an answer that is given as a whole.
func (a Answer) head() string {
	text := string(a.Raw)
	for _, step := range a.Steps {
		text += step.Send
	}
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	return head
}

func (a Answer) status() int {
	if a.Status != 0 {
		return a.Status
	}
	fields := strings.Fields(a.head())
	if len(fields) < 2 {
		return 0
	}
	status, err := strconv.Atoi(fields[1])
	if err != nil {
		return 0
	}
	return status
}

// header gives the values of a header of the answer.
func (a Answer) header(name string) []string {
	lines := slices.Clone(a.Headers)
	for line := range strings.SplitSeq(a.head(), "\r\n") {
		if n, v, ok := strings.Cut(line, ":"); ok {
			lines = append(lines, [2]string{n, strings.TrimSpace(v)})
		}
	}
	var values []string
	for _, line := range lines {
		if strings.EqualFold(line[0], name) {
			values = append(values, line[1])
		}
	}
	return values
}
