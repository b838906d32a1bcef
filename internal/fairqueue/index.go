package fairqueue

// index is a heap whose items store their own position. Each item can be moved or removed in
// O(log n).
type index[T any] struct {
	items []T
	// before orders the items.
	before func(a, b T) bool
	// position returns the field in which an item stores its place in the heap, counted from 1.
	// Zero means that the item is not in the heap.
	position func(T) *int32
}

func (x *index[T]) len() int { return len(x.items) }

// first returns the item that comes before all others.
func (x *index[T]) first() (first T, ok bool) {
	if len(x.items) == 0 {
		return first, false
	}
	return x.items[0], true
}

// put inserts an item, or moves it after its order has changed.
func (x *index[T]) put(item T) {
	position := x.position(item)
	if *position == 0 {
		x.items = append(x.items, item)
		*position = stored(len(x.items) - 1)
	}
	if at := int(*position) - 1; !x.up(at) {
		x.down(at)
	}
}

// remove removes an item if it is there.
func (x *index[T]) remove(item T) {
	position := x.position(item)
	if *position == 0 {
		return
	}
	at, last := int(*position)-1, len(x.items)-1
	x.swap(at, last)
	var none T
	x.items[last] = none
	x.items = x.items[:last]
	*position = 0
	if at < last && !x.up(at) {
		x.down(at)
	}
}

func (x *index[T]) up(at int) (moved bool) {
	for at > 0 {
		parent := (at - 1) / 2
		if !x.before(x.items[at], x.items[parent]) {
			break
		}
		x.swap(at, parent)
		at, moved = parent, true
	}
	return moved
}

func (x *index[T]) down(at int) {
	for {
		child := 2*at + 1
		if child >= len(x.items) {
			return
		}
		if right := child + 1; right < len(x.items) && x.before(x.items[right], x.items[child]) {
			child = right
		}
		if !x.before(x.items[child], x.items[at]) {
			return
		}
		x.swap(at, child)
		at = child
	}
}

func (x *index[T]) swap(a, b int) {
	x.items[a], x.items[b] = x.items[b], x.items[a]
	*x.position(x.items[a]), *x.position(x.items[b]) = stored(a), stored(b)
}

// stored returns the value that an item stores for its place.
func stored(at int) int32 {
	return int32(at + 1) //nolint:gosec // no process holds two billion objects
}
