//go:build e2e

// Package e2e tests pipes-operator as users run it. It installs dist/install.yaml on a real
// node, uses kubectl and the YAML of the README, the guides and config/samples, and mounts the
// Secrets in pods. `make test-e2e` builds all dependencies and runs the suite.
//
// Every spec has its own namespace, and its own users at the simulated WorkOS, so that specs can
// run in parallel. Specs that remove the operator or the CRDs are Serial and restore them at the
// end.
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

// settings are the settings that `make test-e2e` passes.
type settings struct {
	// Kubectl is the path of kubectl.
	Kubectl string
	// Dist is the directory with the installers.
	Dist string
	// Repository is the root of the repository.
	Repository string
	// Ours means that the suite removes its install at the end. With E2E_REUSE, for work on a
	// single spec, the suite uses the simulator and the operator of an earlier run and leaves
	// them.
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

// The deferred steps run even if another step fails.
var _ = SynchronizedAfterSuite(func() {}, func() {
	if with.Ours && os.Getenv("KEEP") == "" {
		defer stopSimulator()
		defer kubectl("delete", "--filename="+filepath.Join(with.Dist, "install.yaml"), "--ignore-not-found", "--timeout=3m")
	}
	expectNoCanaries(operatorNamespace)
})

// The state of the operator is lost with the cluster, so a failed spec records it.
var _ = AfterEach(func() {
	if !CurrentSpecReport().Failed() {
		return
	}
	AddReportEntry("the operator's pods", operatorState(), ReportEntryVisibilityFailureOrVerbose)
})

// operatorState returns, for each pod of the operator, the restart count, the reason of the last
// end, and the last lines of the log before it.
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

// refuseForeignCluster fails the suite on a cluster where pipes-operator is already in use,
// because the suite would delete it.
func refuseForeignCluster() {
	GinkgoHelper()
	found := kubectl("get", "customresourcedefinitions", "--ignore-not-found", "--output=name",
		"pipestokens.pipes.workos.com", "pipesenvironments.pipes.workos.com")
	found += kubectl("get", "namespace", operatorNamespace, simulatorNamespace, "--ignore-not-found", "--output=name")
	Expect(found).To(BeEmpty(), "the cluster has a pipes-operator, or what is left of one, which this suite would take away: "+
		"choose another cluster, or delete these first")
}
