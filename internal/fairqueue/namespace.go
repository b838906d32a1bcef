package fairqueue

import "time"

// place is the place of an object among what is ready.
type place struct {
	object   *object
	priority int
	// order grows with each object that becomes ready; since is when this one did.
	order uint64
	since time.Duration
	// edited: nothing but edits made the object ready.
	edited bool

	byNeed, byAge int32 // positions in the indexes of its namespace
}

// moreUrgent orders places by priority, and then by age.
func (p *place) moreUrgent(other *place) bool {
	if p.priority != other.priority {
		return p.priority > other.priority
	}
	return p.order < other.order
}

// namespace is what is ready or running of one namespace. One that has neither is dropped.
type namespace struct {
	name          string
	byNeed, byAge index[*place]
	// running is how many workers the namespace holds. extra is the withdrawal that runs beside them,
	// if there is one.
	running int
	extra   *object
	// picks counts the objects picked.
	picks uint64
	// turn grows with each pick of any namespace. The namespace keeps that of its last one; one that
	// is new counts as just picked.
	turn uint64

	inNeed, inTurn int32 // positions in the indexes of the schedule
}

func newNamespace(name string, turn uint64) *namespace {
	return &namespace{
		name: name, turn: turn,
		byNeed: index[*place]{before: (*place).moreUrgent, position: func(p *place) *int32 { return &p.byNeed }},
		byAge: index[*place]{
			before:   func(a, b *place) bool { return a.order < b.order },
			position: func(p *place) *int32 { return &p.byAge },
		},
	}
}

func (n *namespace) put(p *place) {
	n.byNeed.put(p)
	n.byAge.put(p)
}

func (n *namespace) remove(p *place) {
	n.byNeed.remove(p)
	n.byAge.remove(p)
}

// head is the most urgent object that is ready. There has to be one.
func (n *namespace) head() *place { return n.byNeed.items[0] }

// agePicks is how often a pick takes the object that has waited longest: each fourth time. More
// often would make renewals wait for edits; less often would let a namespace with many renewals
// keep its own new objects waiting.
const agePicks = 4

// next is the object of the namespace to pick. There has to be one.
func (n *namespace) next() *place {
	if (n.picks+1)%agePicks == 0 {
		return n.byAge.items[0]
	}
	return n.head()
}
