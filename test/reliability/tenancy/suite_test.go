//go:build reliability

// Package tenancy_test attacks the operator as a tenant of the cluster would: with the rights
// that edit and admin give in a namespace. The API server is real, and the operator has only the
// rights that config/ ships. docs/explanation/threat-model.md numbers the threats; each attack
// has the number of its threat as its label.
package tenancy_test

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// All attacks share one cluster, one network and one operator.
var (
	plane *harness.ControlPlane
	// root is a client of the cluster administrator, without a cache and without a rate limit.
	root client.Client
	// report has the result of each attack.
	report Report
)

func TestTenancy(t *testing.T) {
	RegisterFailHandler(Fail)
	suite, reporter := GinkgoConfiguration()
	suite.RandomizeAllSpecs = true
	RunSpecs(t, "Tenancy", suite, reporter)
	expectThreatModel(t, report)
	tried := report.SpecReports.WithLeafNodeType(types.NodeTypeIt)
	figures.Record(t, "40-tenancy", figures.Suite{Name: "Attacks by a tenant, against a real API server", Figures: append([]figures.Figure{
		{Name: "attacks tried", Value: strconv.Itoa(tried.CountWithState(types.SpecStatePassed | types.SpecStateFailureStates))},
		{Name: "attacks not refused", Value: strconv.Itoa(tried.CountWithState(types.SpecStateFailureStates)), Promise: "0"},
		{Name: "calls to WorkOS, for what was granted", Value: strconv.Itoa(network.count(called))},
		{Name: "dials by the operator to anywhere but WorkOS", Value: strconv.Itoa(network.count(elsewhere)), Promise: "0"},
		{Name: "name lookups by the operator of anything but hosts of WorkOS", Value: strconv.Itoa(network.count(strangeNames)), Promise: "0"},
		{Name: "objects of others changed", Value: strconv.Itoa(int(damage.Load())), Promise: "0"},
		{Name: "tokens and API keys found in logs, events, statuses, metrics and metadata", Value: strconv.Itoa(int(leaks.Load())), Promise: "0"},
	}, floods...)})
}

var _ = ReportAfterSuite("figures", func(r Report) { report = r })

// Every token of the simulator, every API key and every Secret of this suite contains "canary" in
// its value. The output of the operator must never contain that word.
var (
	said = &harness.Transcript{}
	// leaks counts the places where a canary was found.
	leaks atomic.Int32
)

// listen sends the log to said. Every test of the package must call it first.
var listen = sync.OnceFunc(said.Listen)

// expectNoCanaryIn searches a namespace.
func expectNoCanaryIn(namespace string) {
	GinkgoHelper()
	expectNone(plane.Leaks(context.Background(), namespace))
}

func expectNone(leaked []string, err error) {
	GinkgoHelper()
	Expect(err).NotTo(HaveOccurred())
	leaks.Add(int32(len(leaked)))
	Expect(leaked).To(BeEmpty())
}

var _ = BeforeSuite(func() {
	listen()
	DeferCleanup(func() { ctrl.SetLogger(logr.Discard()) })

	// A list after a write waits up to a tenth of a second for the watch cache. Without the watch
	// cache it does not wait.
	var err error
	plane, err = harness.Start(harness.Options{APIServer: map[string]string{"watch-cache": "false"}})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(plane.Stop)
	root = plane.Root
	install()
	network.start()
	operator.start()
	DeferCleanup(func() { operator.stop() })
	settleIn()
})

var _ = AfterSuite(func() {
	if root == nil {
		return
	}
	operator.stop()
	expectNone(said.Leaks())
	expectNoCanaryIn(harness.Namespace)
	expectNoCanaryIn(neighbour)
})

// attack is an entry of a table: the number of its threat, its name, and its parameters.
func attack(threat, name string, parameters ...any) TableEntry {
	GinkgoHelper()
	return Entry(threat+": "+name, append([]any{Label(threat)}, parameters...)...)
}
