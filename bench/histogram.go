package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets that are at most 1/64 of their value
// wide, so that recording one allocates nothing and costs a few instructions.
type histogram struct {
	counts [histogramBuckets]uint32
	total  uint64
}

const (
	subBuckets       = 64
	histogramBuckets = subBuckets * 36 // up to two minutes; what is longer falls in the last
)

// bucketOf is the bucket of d. Below 128 ns each nanosecond has its own; above,
// each power of two has 64.
func bucketOf(d time.Duration) int {
	ns := uint64(max(d, 0))
	if ns < 2*subBuckets {
		return int(ns)
	}
	shift := bits.Len64(ns) - bits.Len64(2*subBuckets-1)
	return min(subBuckets*shift+int(ns>>shift), histogramBuckets-1)
}

// bucketValue is the middle of a bucket.
func bucketValue(b int) time.Duration {
	if b < 2*subBuckets {
		return time.Duration(b)
	}
	shift := b/subBuckets - 1
	low := uint64(b%subBuckets+subBuckets) << shift
	return time.Duration(low + uint64(1)<<shift/2)
}

func (h *histogram) add(d time.Duration) {
	h.counts[bucketOf(d)]++
	h.total++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile returns the duration that a share q of all durations do not pass; 0
// when there are none.
func (h *histogram) quantile(q float64) time.Duration {
	if h.total == 0 {
		return 0
	}
	rank := uint64(q * float64(h.total))
	var seen uint64
	for b, n := range h.counts {
		seen += uint64(n)
		if seen > rank || seen == h.total {
			return bucketValue(b)
		}
	}
	return 0
}
