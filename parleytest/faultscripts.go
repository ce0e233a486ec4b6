package parleytest

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

// EachRequest is a script for a connection: it reads requests, one after the other, and
// answers the first with the first of the steps, the next with the next, and all that
// follow with the last. The count goes over all connections that play the script, so that
// it makes no difference whether the client has opened a new one. It ends when the client
// closes the connection or a step has.
//
// A step that closes nothing leaves the connection as it is, for the next request.
func EachRequest(steps ...FaultScript) FaultScript {
	var n atomic.Int64
	return func(c *FaultConn) {
		for !c.broken && len(steps) > 0 {
			if _, err := c.ReadRequest(); err != nil {
				return
			}
			steps[min(n.Add(1), int64(len(steps)))-1](c)
		}
	}
}

// Steps plays several scripts one after the other.
func Steps(scripts ...FaultScript) FaultScript {
	return func(c *FaultConn) {
		for _, script := range scripts {
			script(c)
		}
	}
}

// Respond answers properly, with a Content-Length. As the script of a connection, outside of
// [EachRequest], it answers before the request was read.
func Respond(status int, content string) FaultScript {
	return Say(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), len(content), content))
}

// RespondWithLength answers with a Content-Length of the caller's choice. If more is
// announced than sent the client waits for it; with SayAndClose("") after it in [Steps] the
// body is cut instead.
func RespondWithLength(status int, length int64, content string) FaultScript {
	return Say(fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n\r\n%s", status, http.StatusText(status), length, content))
}

// Say writes text as it is: a whole answer, some of one, a 1xx before it
// ("HTTP/1.1 103 Early Hints\r\n\r\n"), or garbage.
func Say(text string) FaultScript {
	return func(c *FaultConn) { c.Say(text) }
}

// Drip writes text byte by byte with a pause before each.
func Drip(text string, pause time.Duration) FaultScript {
	return func(c *FaultConn) { c.Drip(text, pause) }
}

// Pause waits.
func Pause(d time.Duration) FaultScript {
	return func(c *FaultConn) { c.Pause(d) }
}

// SayAndStall writes text and is then silent until the client is gone: before the head
// with "", within the head or within the body with some of them.
func SayAndStall(text string) FaultScript {
	return func(c *FaultConn) {
		c.Say(text)
		c.Hold()
	}
}

// SayAndClose writes text and closes the connection in good order.
func SayAndClose(text string) FaultScript {
	return func(c *FaultConn) {
		c.Say(text)
		c.stop(c.Close)
	}
}

// SayAndReset writes text and resets the connection. The client may not see all of the text
// then: a reset may overtake it.
func SayAndReset(text string) FaultScript {
	return func(c *FaultConn) {
		c.Say(text)
		c.stop(c.Reset)
	}
}

// SayAndHalfClose writes text, says that this was all, and reads on.
func SayAndHalfClose(text string) FaultScript {
	return func(c *FaultConn) {
		c.Say(text)
		c.HalfClose()
		c.Rest()
	}
}

// Garbage writes n bytes that are no HTTP, the same each time, and closes the connection.
func Garbage(n int) FaultScript {
	b := make([]byte, n)
	state := uint32(0x9e3779b9)
	for i := range b {
		state = state*1664525 + 1013904223
		b[i] = 0x80 | byte(state>>24) // no byte that begins an answer
	}
	return SayAndClose(string(b))
}

// stop closes the connection and lets EachRequest know.
func (c *FaultConn) stop(how func()) {
	how()
	c.broken = true
}
