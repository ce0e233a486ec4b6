package connpool

// node places a *T in a list; it is a field of the T, so that moving it about allocates nothing.
type node[T any] struct {
	next, prev *node[T]
	value      *T
}

// list is a doubly linked list. A node is in one list at most.
type list[T any] struct {
	head, tail *node[T]
	n          int
}

func (l *list[T]) front() *T {
	if l.head == nil {
		return nil
	}
	return l.head.value
}

func (l *list[T]) back() *T {
	if l.tail == nil {
		return nil
	}
	return l.tail.value
}

func (l *list[T]) pushFront(n *node[T]) { l.insertBefore(n, l.head) }

func (l *list[T]) pushBack(n *node[T]) { l.insertBefore(n, nil) }

// insertBefore puts n before mark, or at the end if mark is nil.
func (l *list[T]) insertBefore(n, mark *node[T]) {
	n.next = mark
	if mark != nil {
		n.prev = mark.prev
		mark.prev = n
	} else {
		n.prev = l.tail
		l.tail = n
	}
	if n.prev != nil {
		n.prev.next = n
	} else {
		l.head = n
	}
	l.n++
}

func (l *list[T]) remove(n *node[T]) {
	if n.prev != nil {
		n.prev.next = n.next
	} else {
		l.head = n.next
	}
	if n.next != nil {
		n.next.prev = n.prev
	} else {
		l.tail = n.prev
	}
	n.next, n.prev = nil, nil
	l.n--
}

func (l *list[T]) popFront() *T {
	n := l.head
	if n == nil {
		return nil
	}
	l.remove(n)
	return n.value
}
