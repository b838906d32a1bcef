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

// pass is one call of Reconcile. Whatever it asks of anybody else is a point at which something can happen to it.
type pass struct {
	controller string
	request    reconcile.Request
	plan       plan
	// requests counts what it has asked so far.
	requests int
	// began is the time of its node's clock at its beginning, granted whether the cache then showed a grant for its object. After a
	// call to WorkOS, judged is the time and granted what the cache shows; barred is then why no token may be written any more.
	began, judged time.Time
	granted       bool
	barred        string
	// policy, uid and id are those of its object, as the cache showed it at its beginning.
	policy string
	uid    types.UID
	id     workossim.ID
	// asked is the number of the call of WorkOS that it made; zero: none.
	asked int
	// asking is the connection that it is asking WorkOS for, or has asked for last.
	asking workossim.ID
	// reading: it is reading an API key.
	reading bool
	thaw    chan struct{}
}

// lastLook is when the pass last looked at the clock: after its call, if it has made one.
func (p *pass) lastLook() time.Time {
	if p.judged.IsZero() {
		return p.began
	}
	return p.judged
}

// effect is what happens to one request of a pass.
type effect string

const (
	nothing effect = ""
	// refused: it is answered with an error, and has no effect.
	refused effect = "refused"
	// throttled: the API server answers 429.
	throttled effect = "throttled"
	// lost: it takes effect, but the answer gets lost.
	lost effect = "lost"
	// crashBefore and crashAfter: the process is killed before the request gets there, or after it has taken effect.
	crashBefore effect = "crash before"
	crashAfter  effect = "crash after"
	// freezeBefore and freezeAfter: the process stands still, and goes on later.
	freezeBefore effect = "freeze before"
	freezeAfter  effect = "freeze after"
	// intruded: somebody else does something just before.
	intruded effect = "intruded"
)

// plan says what happens to which request of a pass.
type plan struct {
	at      int
	effect  effect
	intrude func()
}

var (
	errDown = errors.New("the process has been killed")
	errLost = errors.New("the connection has been lost")
)

// maxFrozen is how many passes of one controller can stand still at once.
const maxFrozen = 2

// turn lets one pass run until it ends or freezes.
func (o *operator) turn(controller string, request reconcile.Request, p plan) {
	o.pass = &pass{controller: controller, request: request, plan: p, began: o.lookAtClock(), thaw: make(chan struct{})}
	if controller == "pipestoken" {
		o.pass.look(o)
	}
	o.world.noteTurn(o, controller, request)
	o.queues[controller].turn(request)
	o.awaitPause()
}

// awaitPause waits until the pass that has the turn gives it back.
func (o *operator) awaitPause() {
	select {
	case <-o.paused:
	case <-time.After(time.Minute): // of real time, in which nothing takes more than a millisecond
		panic(fmt.Sprintf("the pass over %s is stuck", o.pass.request))
	}
}

// thaw lets a frozen pass go on until it ends.
func (o *operator) thaw(index int) {
	o.pass = o.frozen[index]
	o.frozen = slices.Delete(o.frozen, index, index+1)
	close(o.pass.thaw)
	o.awaitPause()
}

// ask makes a request of the pass that has the turn, with what is planned for it.
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

// freeze gives the turn back, until the model lets the pass go on.
func (o *operator) freeze() {
	p := o.pass
	o.frozen = append(o.frozen, p)
	o.paused <- struct{}{}
	<-p.thaw
}
