//go:build reliability

package tenancy_test

import (
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	clocks "k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/harness/timeline"
)

const (
	soon  = 20 * time.Second
	often = 10 * time.Millisecond
)

var (
	// clock is the clock of the operator and of WorkOS. It stands still unless a spec steps it.
	clock = testingclock.NewFakeClock(time.Now().UTC().Truncate(time.Second))
	// queues are the queues of the operator. Their timers run on clock.
	queues = timeline.New(clock)
	// operator works in all namespaces, as config/default installs it.
	operator = &process{}
)

// process is one process of the operator, with its own memory and caches.
type process struct {
	stop func()
}

// start starts the operator as cmd/pipes-operator does, with the rights of its service account
// and the default flags of config/default. Only the clock, the queues and the network differ.
func (p *process) start() {
	GinkgoHelper()
	p.startAt(clock, queues.Options(), queues.Options())
}

// startAt starts the operator with another clock and other queues.
func (p *process) startAt(clock clocks.PassiveClock, tokens, environments controller.Options) {
	GinkgoHelper()
	running, err := harness.Operator{
		Config:      actingAs(harness.User, "system:serviceaccounts", "system:serviceaccounts:"+harness.Namespace),
		Environment: types.NamespacedName{Namespace: harness.Namespace, Name: "default"},
		WorkOS:      workos.Options{UserAgent: "pipes-operator/test", Clock: clock, Transport: network.transport()},
		Hosts:       workosHosts,
		Tokens:      tokens, Environments: environments,
	}.Start(func(err error) {
		defer GinkgoRecover()
		Expect(err).NotTo(HaveOccurred())
	})
	Expect(err).NotTo(HaveOccurred())
	p.stop = sync.OnceFunc(func() { running.Stop(); said.gather(running.Metrics) })
}
