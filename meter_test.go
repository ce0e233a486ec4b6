package parley

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLatencyMeter_stepsHoldWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{
		0, time.Nanosecond, time.Microsecond, 1999 * time.Nanosecond, 2 * time.Microsecond, 3 * time.Microsecond, 4 * time.Microsecond,
		5 * time.Microsecond, 6 * time.Microsecond, 100 * time.Microsecond, time.Millisecond, 1500 * time.Microsecond, time.Second, time.Minute, 30 * time.Minute,
	} {
		bound := boundOf(stepOf(d))
		require.Less(t, d, bound, "%v", d)
		if d >= 2*time.Microsecond {
			require.LessOrEqual(t, float64(bound), 1.5*float64(d)+float64(time.Microsecond), "%v", d)
		}
	}
	require.Equal(t, latencySteps-1, stepOf(1000*time.Hour))
}

func TestLatencyMeter_percentiles(t *testing.T) {
	t.Parallel()
	m := &latencyMeter{origins: make(map[connKey]*histogram)}
	key := connKey{host: "a.test"}
	require.Zero(t, m.read(key))
	require.Zero(t, (*latencyMeter)(nil).read(key))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 1000 {
				m.observe(key, time.Duration(i)*time.Millisecond)
			}
		})
	}
	all.Wait()
	l := m.read(key)
	require.EqualValues(t, 4000, l.Count)
	require.Equal(t, 999*time.Millisecond, l.Max)
	for _, p := range []struct {
		got   time.Duration
		truth float64
	}{{l.P50, 0.5}, {l.P90, 0.9}, {l.P99, 0.99}} {
		require.GreaterOrEqual(t, p.got.Seconds(), p.truth-0.001)
		require.LessOrEqual(t, p.got.Seconds(), 1.5*p.truth+0.001)
	}
	for i := range 2 * maxMeasured {
		m.observe(connKey{port: string(rune(i))}, time.Second)
	}
	require.Len(t, m.origins, maxMeasured)
}
