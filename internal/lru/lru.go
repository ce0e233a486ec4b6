// Package lru keeps a bounded number of values by key and forgets those that were asked
// for the longest ago.
package lru

import (
	"container/list"
	"iter"
)

// Map is such a store. It is not safe for concurrent use.
type Map[K comparable, V any] struct {
	max     int
	keep    func(V) bool
	entries map[K]*list.Element
	order   list.List // of *entry, the last that was asked for first
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

// New makes a Map of at most max values, beside those of which keep says that they must
// not be forgotten now; a nil keep says so of none.
func New[K comparable, V any](max int, keep func(V) bool) *Map[K, V] {
	return &Map[K, V]{max: max, keep: keep, entries: make(map[K]*list.Element)}
}

// Get gives the value for key, and whether there is one.
func (m *Map[K, V]) Get(key K) (value V, ok bool) {
	e := m.entries[key]
	if e == nil {
		return value, false
	}
	m.order.MoveToFront(e)
	return e.Value.(*entry[K, V]).value, true
}

// Put sets the value for key, and makes room for it.
func (m *Map[K, V]) Put(key K, value V) {
	if e := m.entries[key]; e != nil {
		e.Value.(*entry[K, V]).value = value
		m.order.MoveToFront(e)
		return
	}
	added := m.order.PushFront(&entry[K, V]{key, value})
	m.entries[key] = added
	for e := m.order.Back(); e != added && len(m.entries) > m.max; {
		oldest := e.Value.(*entry[K, V])
		before := e.Prev()
		if m.keep == nil || !m.keep(oldest.value) {
			m.order.Remove(e)
			delete(m.entries, oldest.key)
		}
		e = before
	}
}

// Delete forgets the value for key.
func (m *Map[K, V]) Delete(key K) {
	if e := m.entries[key]; e != nil {
		m.order.Remove(e)
		delete(m.entries, key)
	}
}

// Len tells how many values there are.
func (m *Map[K, V]) Len() int { return len(m.entries) }

// All gives all values, the last that was asked for first. The Map must not be changed
// meanwhile.
func (m *Map[K, V]) All() iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for e := m.order.Front(); e != nil; e = e.Next() {
			if at := e.Value.(*entry[K, V]); !yield(at.key, at.value) {
				return
			}
		}
	}
}
