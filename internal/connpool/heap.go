package connpool

// An origin can be in three heaps at once, at a place of its own in each.
const (
	byNeed = iota
	byIdle
	byDue
	heapKinds
)

// place is where an origin stands in a heap.
type place struct {
	key int64
	at  int // index + 1; 0: not in the heap
}

// originHeap is a binary heap of origins, the smallest key first. It is guarded by Pool.mu, and so are the places.
type originHeap[K comparable, C Conn] struct {
	kind  int
	items []*origin[K, C]
}

func (h *originHeap[K, C]) min() *origin[K, C] {
	if len(h.items) == 0 {
		return nil
	}
	return h.items[0]
}

func (h *originHeap[K, C]) key(o *origin[K, C]) int64 { return o.places[h.kind].key }

// set puts o into the heap, or moves it, under key.
func (h *originHeap[K, C]) set(o *origin[K, C], key int64) {
	pl := &o.places[h.kind]
	pl.key = key
	if pl.at == 0 {
		h.items = append(h.items, o)
		pl.at = len(h.items)
	}
	h.down(h.up(pl.at - 1))
}

func (h *originHeap[K, C]) remove(o *origin[K, C]) {
	pl := &o.places[h.kind]
	if pl.at == 0 {
		return
	}
	i, last := pl.at-1, len(h.items)-1
	h.swap(i, last)
	h.items[last] = nil
	h.items = h.items[:last]
	pl.at = 0
	if i < last {
		h.down(h.up(i))
	}
}

func (h *originHeap[K, C]) less(i, j int) bool { return h.key(h.items[i]) < h.key(h.items[j]) }

func (h *originHeap[K, C]) swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].places[h.kind].at = i + 1
	h.items[j].places[h.kind].at = j + 1
}

func (h *originHeap[K, C]) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.less(i, parent) {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h *originHeap[K, C]) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.items); child++ {
			if h.less(child, least) {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
