//go:build e2e

// Package e2e runs pipes-operator as its users do: installed from dist/install.yaml on a real node, worked with by kubectl and by
// YAML from the README and config/samples, its Secrets mounted in pods. `make test-e2e` builds all that it takes and runs it.
//
// Every spec has a namespace of its own, and users of its own at the simulated WorkOS, so that specs run side by side. Those
// that take the operator away, or the CRDs, are Serial, and put back what they have found.
package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(time.Second)
	suite, reporter := GinkgoConfiguration()
	RunSpecs(t, "End to end", suite, reporter)
}

// settings are what `make test-e2e` says.
type settings struct {
	// Kubectl is the program.
	Kubectl string
	// Dist is the directory with the installers.
	Dist string
	// Repository is the root of the repository.
	Repository string
	// Ours says that what is installed is to be taken away at the end. With E2E_REUSE, for work on one spec, simulator and
	// operator are those that an earlier run has left, and stay.
	Ours bool
	// Simulator is the address (IP:port) of the simulated WorkOS in the cluster.
	Simulator string
}

var with settings

var _ = SynchronizedBeforeSuite(func() []byte {
	with = settings{Kubectl: os.Getenv("E2E_KUBECTL"), Dist: os.Getenv("E2E_DIST"), Repository: os.Getenv("E2E_REPOSITORY")}
	Expect(with.Kubectl).NotTo(BeEmpty(), "run this by `make test-e2e`")
	if os.Getenv("E2E_REUSE") != "" {
		with.Simulator = simulatorAddress()
	} else {
		refuseForeignCluster()
		with.Ours = true
		with.Simulator = startSimulator()
		installOperator()
	}
	facts, err := json.Marshal(with)
	Expect(err).NotTo(HaveOccurred())
	return facts
}, func(facts []byte) {
	Expect(json.Unmarshal(facts, &with)).To(Succeed())
})

// Each step is taken whatever becomes of the others.
var _ = SynchronizedAfterSuite(func() {}, func() {
	if with.Ours && os.Getenv("KEEP") == "" {
		defer stopSimulator()
		defer kubectl("delete", "--filename="+filepath.Join(with.Dist, "install.yaml"), "--ignore-not-found", "--timeout=3m")
	}
	expectNoCanaries(operatorNamespace)
})

// What the operator went through is gone with the cluster.
var _ = AfterEach(func() {
	if !CurrentSpecReport().Failed() {
		return
	}
	AddReportEntry("the operator's pods", operatorState(), ReportEntryVisibilityFailureOrVerbose)
})

// operatorState is how often each container of the operator was started, why it ended, and the last that it said then.
func operatorState() string {
	const ended = `{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState}{"\n"}{end}`
	state := kubectl("get", "pods", "--namespace="+operatorNamespace, "--selector="+operatorSelector, "--output=jsonpath="+ended)
	for line := range strings.Lines(state) {
		if name, _, restarted := strings.Cut(line, " "); restarted && strings.Contains(line, "terminated") {
			state += kubectl("logs", "--namespace="+operatorNamespace, name, "--previous", "--tail=30")
		}
	}
	return state
}

// refuseForeignCluster keeps the suite away from a cluster where somebody uses pipes-operator: it would take that away.
func refuseForeignCluster() {
	GinkgoHelper()
	found := kubectl("get", "customresourcedefinitions", "--ignore-not-found", "--output=name",
		"pipestokens.pipes.workos.com", "pipesenvironments.pipes.workos.com")
	found += kubectl("get", "namespace", operatorNamespace, simulatorNamespace, "--ignore-not-found", "--output=name")
	Expect(found).To(BeEmpty(), "the cluster has a pipes-operator, or what is left of one, which this suite would take away: "+
		"choose another cluster, or delete these first")
}
