package parley

import (
	"sync"
)

// RetryBudget bounds the tries beyond the first as a share of all requests, so that an
// outage is not made worse by those who suffer from it: a bucket that each request puts
// the fraction Share of a try into and each further try, be it after a failure or beside
// a slow one, takes a whole one from. While there is none, calls fail, or are answered,
// with their first try.
//
// The zero value is ready to use, with the defaults. Its fields must not be changed once
// it is in use. It is safe for concurrent use and may be shared by sessions.
type RetryBudget struct {
	// Share is how many further tries there may be for each request. Default 0.2; less
	// than 0: none beyond Burst.
	Share float64
	// Burst is how many tries the bucket holds, and has at first. Default 100; less than
	// 0: there is no bound at all.
	Burst int

	mu    sync.Mutex
	spent float64 // that the bucket lacks to be full
}

// The defaults of [RetryBudget].
const (
	DefaultRetryShare = 0.2
	DefaultRetryBurst = 100
)

func (b *RetryBudget) share() float64 {
	if b.Share == 0 {
		return DefaultRetryShare
	}
	return max(b.Share, 0)
}

func (b *RetryBudget) burst() float64 {
	if b.Burst == 0 {
		return DefaultRetryBurst
	}
	return float64(b.Burst)
}

// deposit counts a request.
func (b *RetryBudget) deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spent = max(b.spent-b.share(), 0)
}

// withdraw takes a try out of the bucket, and reports whether there was one.
func (b *RetryBudget) withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	most := b.burst()
	switch {
	case most < 0:
		return true
	case b.spent+1 > most:
		return false
	}
	b.spent++
	return true
}

// Left tells how many further tries there may be now; less than 0: any number.
func (b *RetryBudget) Left() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Burst < 0 {
		return -1
	}
	return int(b.burst() - b.spent)
}
