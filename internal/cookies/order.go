package cookies

// list holds entries in the order in which they were used.
type list struct{ first, last *entry }

// toBack puts e, which may be in the list, at its end.
func (l *list) toBack(e *entry) {
	if l.last == e {
		return
	}
	if e.prev != nil || e.next != nil {
		l.remove(e)
	}
	e.prev = l.last
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
}

// remove takes e out.
func (l *list) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.prev, e.next = nil, nil
}

// endings is a heap of entries by Expires. Each entry knows its place, so that it
// leaves without being searched for.
type endings []*entry

// set puts e where its Expires belongs, or takes it out if it has none.
func (h *endings) set(e *entry) {
	switch {
	case e.Expires.IsZero():
		h.remove(e)
	case e.ending < 0:
		e.ending = len(*h)
		*h = append(*h, e)
		h.up(e.ending)
	default:
		h.down(h.up(e.ending))
	}
}

// remove takes e out, if it is there.
func (h *endings) remove(e *entry) {
	at := e.ending
	if at < 0 {
		return
	}
	last := len(*h) - 1
	h.swap(at, last)
	(*h)[last] = nil
	*h = (*h)[:last]
	e.ending = -1
	if at < last {
		h.down(h.up(at))
	}
}

func (h *endings) swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].ending, s[j].ending = i, j
}

func (h *endings) less(i, j int) bool { return (*h)[i].Expires.Before((*h)[j].Expires) }

// up gives the place that the entry at i rises to.
func (h *endings) up(i int) int {
	for i > 0 && h.less(i, (i-1)/2) {
		h.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
	return i
}

func (h *endings) down(i int) {
	for {
		child := 2*i + 1
		if child+1 < len(*h) && h.less(child+1, child) {
			child++
		}
		if child >= len(*h) || !h.less(child, i) {
			return
		}
		h.swap(i, child)
		i = child
	}
}
