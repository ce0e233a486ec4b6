package wiretest

import (
	"fmt"
	"testing"
	"time"
)

// OK is an answer with the content given.
func OK(content string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content)
}

// Answer is a script that answers every request with what reply gives for it, and
// ends when that is "" or the peer is gone. A peer that begins with HTTP/2 is answered
// by that, with the same: see [Server.Received] for what is recorded then.
func Answer(reply func(c *Conn, r *Request) string) func(*Conn) {
	return func(c *Conn) {
		if c.speaksHTTP2() {
			c.answerHTTP2(reply)
			return
		}
		for {
			r, err := c.ReadRequest()
			if err != nil {
				return
			}
			text := reply(c, r)
			if text == "" || !c.Say(text) {
				return
			}
		}
	}
}

// Echo is a script that answers every request with its target.
func Echo() func(*Conn) {
	return Answer(func(_ *Conn, r *Request) string { return OK(r.RequestURI) })
}

// must ends the test where something failed that a test needs.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Guard ends the whole test program with the stacks of all goroutines if the test
// goes on for longer than limit: a test that hangs says where. In a parallel test
// it comes after t.Parallel.
func Guard(t testing.TB, limit time.Duration) {
	name := t.Name()
	timer := time.AfterFunc(limit, func() { panic(fmt.Sprintf("%s hangs: not done after %v", name, limit)) })
	t.Cleanup(func() { timer.Stop() })
}

// Eventually waits until ok holds, and fails the test if it does not within 5 s.
// It is for what another goroutine is about to do.
func Eventually(t testing.TB, ok func() bool, what string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after 5 s: %s", what)
		}
	}
}
