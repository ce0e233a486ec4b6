package partial

import (
	"cmp"
	"slices"
)

// Span is a range of bytes, from From up to but without To.
type Span struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
}

// Len is how many bytes there are in it.
func (s Span) Len() int64 { return s.To - s.From }

// merged gives the spans in their order, joined where they touch.
func merged(spans []Span) []Span {
	sorted := slices.SortedFunc(slices.Values(spans), func(a, b Span) int { return cmp.Compare(a.From, b.From) })
	var out []Span
	for _, s := range sorted {
		if last := len(out) - 1; last >= 0 && s.From <= out[last].To {
			out[last].To = max(out[last].To, s.To)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// gaps gives what is missing of total bytes beside the spans, which are merged.
func gaps(spans []Span, total int64) []Span {
	var out []Span
	at := int64(0)
	for _, s := range spans {
		if s.From > at {
			out = append(out, Span{at, s.From})
		}
		at = s.To
	}
	if at < total {
		out = append(out, Span{at, total})
	}
	return out
}

// valid reports whether the spans are some that lie within total bytes.
func valid(spans []Span, total int64) bool {
	return !slices.ContainsFunc(spans, func(s Span) bool { return s.From < 0 || s.To <= s.From || s.To > total })
}
