package fairqueue

import "time"

// place is the position of a ready object among the ready objects.
type place struct {
	object   *object
	priority int
	// order grows with each object that becomes ready. since is when this object became ready.
	order uint64
	since time.Duration
	// edited says that only edits made the object ready.
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

// namespace holds the ready and the running objects of one namespace. It is dropped when it has
// neither.
type namespace struct {
	name          string
	byNeed, byAge index[*place]
	// running is how many workers the namespace holds. extra is the withdrawal that runs in
	// addition, if any.
	running int
	extra   *object
	// picks counts the picks of this namespace.
	picks uint64
	// turn is the turn of the last pick of this namespace. Turns grow with each pick of any
	// namespace. A new namespace counts as just picked.
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

// head returns the most urgent ready object. The namespace must have a ready object.
func (n *namespace) head() *place { return n.byNeed.items[0] }

// agePicks is how often a pick takes the object that has waited longest: each fourth time. If
// it were more often, renewals would wait for edits. If it were less often, a namespace with
// many renewals would delay its own new objects.
const agePicks = 4

// next returns the object to pick. The namespace must have a ready object.
func (n *namespace) next() *place {
	if (n.picks+1)%agePicks == 0 {
		return n.byAge.items[0]
	}
	return n.head()
}
