package connpool

// Reason is why a connection left the pool. The zero Reason means none.
type Reason uint8

// The reasons for which connections leave the pool.
const (
	_                  Reason = iota
	ReasonError               // discarded by its borrower: the usual reason for Discard
	ReasonReplaced            // discarded by its borrower, who replayed its request on a new one
	ReasonNotReusable         // discarded by its borrower: the exchange went well, but one of the peers ends here
	ReasonIdleTimeout         // idle for longer than Limits.IdleTimeout, or than Entry.LimitIdle allowed
	ReasonSurplusIdle         // idle for longer than Limits.SurplusIdle, with Limits.Soft others less idle
	ReasonMaxAge              // older than Limits.MaxAge
	ReasonMaxRequests         // lent Limits.MaxRequests times
	ReasonPeerClosed          // Check found it closed by the peer
	ReasonUnexpected          // Check found data that nobody had asked for
	ReasonUnverifiable        // Check could not tell, and the request could not risk it
	ReasonRetired             // its capacity fell to 0
	ReasonMadeRoom            // closed so that another origin could dial under Limits.Total
	ReasonLimits              // in excess of limits that were lowered
	ReasonCloseIdle           // idle when CloseIdle was called
	ReasonPoolClosed          // the pool was closed
	ReasonHijacked            // left by Hijack, without Close
	reasonCount
)

var reasonNames = [reasonCount]string{
	0:                  "none",
	ReasonError:        "error",
	ReasonReplaced:     "replaced",
	ReasonNotReusable:  "not reusable",
	ReasonIdleTimeout:  "idle timeout",
	ReasonSurplusIdle:  "surplus idle",
	ReasonMaxAge:       "max age",
	ReasonMaxRequests:  "max requests",
	ReasonPeerClosed:   "peer closed while idle",
	ReasonUnexpected:   "unexpected data while idle",
	ReasonUnverifiable: "could not be checked",
	ReasonRetired:      "no capacity left",
	ReasonMadeRoom:     "made room for another origin",
	ReasonLimits:       "limits lowered",
	ReasonCloseIdle:    "idle connections closed",
	ReasonPoolClosed:   "pool closed",
	ReasonHijacked:     "hijacked",
}

// String names the reason in a few lower-case words.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}
