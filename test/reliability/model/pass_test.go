//go:build reliability

package model_test

import (
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// pass is one call of Reconcile. An effect can happen to each request that it makes.
type pass struct {
	controller string
	request    reconcile.Request
	plan       plan
	// requests counts its requests.
	requests int
	// began is the time on its node's clock when it began. granted says whether the cache showed
	// a grant for its object at that time. After a call to WorkOS, judged is the time after the
	// call, granted is what the cache shows then, and barred says why no token may be written any
	// more.
	began, judged time.Time
	granted       bool
	barred        string
	// policy, uid and id are those of its object, as the cache showed it at the beginning.
	policy string
	uid    types.UID
	id     workossim.ID
	// asked is the number of the call that it made to WorkOS; zero if it made none.
	asked int
	// asking is the connection of its current or last call to WorkOS.
	asking workossim.ID
	// reading: it is reading an API key.
	reading bool
	thaw    chan struct{}
}

// lastLook is the time when the reconcile last read the clock: after its call, if it has made a
// call.
func (p *pass) lastLook() time.Time {
	if p.judged.IsZero() {
		return p.began
	}
	return p.judged
}

// effect is what happens to one request of a reconcile.
type effect string

const (
	nothing effect = ""
	// refused: the API server answers with an error, and the request has no effect.
	refused effect = "refused"
	// throttled: the API server answers 429.
	throttled effect = "throttled"
	// lost: the request takes effect, but the answer is lost.
	lost effect = "lost"
	// crashBefore and crashAfter: the process is killed before the request arrives, or after it
	// has taken effect.
	crashBefore effect = "crash before"
	crashAfter  effect = "crash after"
	// freezeBefore and freezeAfter: the process stands still, and continues later.
	freezeBefore effect = "freeze before"
	freezeAfter  effect = "freeze after"
	// intruded: somebody else acts just before the request.
	intruded effect = "intruded"
)

// plan says which effect happens to which request of a reconcile.
type plan struct {
	at      int
	effect  effect
	intrude func()
}

var (
	errDown = errors.New("the process has been killed")
	errLost = errors.New("the connection has been lost")
)

// maxFrozen is the largest number of reconciles of one controller that are frozen at the same
// time.
const maxFrozen = 2

// turn lets one reconcile run until it ends or freezes.
func (o *operator) turn(controller string, request reconcile.Request, p plan) {
	o.pass = &pass{controller: controller, request: request, plan: p, began: o.lookAtClock(), thaw: make(chan struct{})}
	if controller == "pipestoken" {
		o.pass.look(o)
	}
	o.world.noteTurn(o, controller, request)
	o.queues[controller].turn(request)
	o.awaitPause()
}

// awaitPause waits until the reconcile that has the turn gives it back.
func (o *operator) awaitPause() {
	select {
	case <-o.paused:
	case <-time.After(time.Minute): // real time; no step takes more than a millisecond
		panic(fmt.Sprintf("the pass over %s is stuck", o.pass.request))
	}
}

// thaw lets a frozen reconcile continue until it ends.
func (o *operator) thaw(index int) {
	o.pass = o.frozen[index]
	o.frozen = slices.Delete(o.frozen, index, index+1)
	close(o.pass.thaw)
	o.awaitPause()
}

// ask makes a request of the reconcile that has the turn, with the effect that is planned for it.
func (o *operator) ask(what string, do func() error) error {
	if o.dead {
		return errDown
	}
	p := o.pass
	planned := nothing
	if p.requests == p.plan.at {
		planned = p.plan.effect
	}
	p.requests++
	if planned != nothing {
		o.world.logf("%d: %s of %s: %s", o.id, what, p.request, planned)
		o.world.effects[planned]++
	}
	switch planned {
	case refused:
		return apierrors.NewInternalError(fmt.Errorf("etcdserver: request timed out"))
	case throttled:
		return apierrors.NewTooManyRequests("the API server is busy", 0)
	case crashBefore:
		o.dead = true
		return errDown
	case freezeBefore:
		o.freeze()
	case intruded:
		p.plan.intrude()
	}
	if o.dead {
		return errDown
	}
	err := do()
	switch planned {
	case lost:
		return errLost
	case crashAfter:
		o.dead = true
		return errDown
	case freezeAfter:
		o.freeze()
		if o.dead {
			return errDown
		}
	}
	return err
}

// freeze gives the turn back until the model calls thaw.
func (o *operator) freeze() {
	p := o.pass
	o.frozen = append(o.frozen, p)
	o.paused <- struct{}{}
	<-p.thaw
}
