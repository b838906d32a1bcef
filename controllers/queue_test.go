package controllers_test

import (
	"time"

	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	steps "github.com/pipes-operator/pipes-operator/test/harness/timeline"
)

// workers is how many objects a controller reconciles at the same time.
const workers = steps.Workers

// timeline is the stepped timeline of the operators of a world.
type timeline struct{ *steps.Timeline }

func newTimeline(clock *testingclock.FakeClock) *timeline { return &timeline{steps.New(clock)} }

func (t *timeline) options() controller.Options                  { return t.Options() }
func (t *timeline) advance(d time.Duration)                      { t.Advance(d) }
func (t *timeline) settle()                                      { t.Settle() }
func (t *timeline) only(request reconcile.Request, at time.Time) { t.Only(request, at) }
func (t *timeline) lose(request reconcile.Request)               { t.Lose(request) }
func (t *timeline) passesOf(request reconcile.Request) int       { return t.PassesOf(request) }
func (t *timeline) timerOf(request reconcile.Request) time.Time  { return t.TimerOf(request) }
func (t *timeline) priorityOf(request reconcile.Request) int     { return t.PriorityOf(request) }
