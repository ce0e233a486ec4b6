package lru_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-0474a412/parley/internal/lru"
)

func keys(m *lru.Map[string, int]) []string {
	var out []string
	for k := range m.All() {
		out = append(out, k)
	}
	return out
}

func TestMap_forgetsWhatWasAskedForTheLongestAgo(t *testing.T) {
	t.Parallel()
	m := lru.New[string, int](2, nil)
	m.Put("a", 1)
	m.Put("b", 2)
	got, ok := m.Get("a")
	require.True(t, ok)
	require.Equal(t, 1, got)
	m.Put("c", 3)
	require.Equal(t, []string{"c", "a"}, keys(m))
	_, ok = m.Get("b")
	require.False(t, ok)
	m.Put("a", 4)
	require.Equal(t, map[string]int{"a": 4, "c": 3}, maps.Collect(m.All()))
	m.Delete("a")
	m.Delete("nobody")
	require.Equal(t, 1, m.Len())
}

func TestMap_whatMustNotBeForgottenStays(t *testing.T) {
	t.Parallel()
	busy := []int{1, 2}
	m := lru.New[string, int](1, func(v int) bool { return slices.Contains(busy, v) })
	m.Put("a", 1)
	m.Put("b", 2)
	m.Put("c", 3)
	require.Equal(t, []string{"c", "b", "a"}, keys(m), "the new one is there at any rate")
	busy = nil
	m.Put("d", 4)
	require.Equal(t, []string{"d"}, keys(m))
	for range m.All() {
		break // a loop that is left early
	}
}
