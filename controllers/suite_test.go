package controllers_test

import (
	"context"
	"testing"

	"github.com/go-logr/logr"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/test/harness"
)

// The whole suite shares a real API server, and collects the output of all operators under test.
var (
	plane     *harness.ControlPlane
	apiServer *rest.Config
	// user is a client of the person with kubectl, without a cache and without a rate limit.
	user client.Client
	said = &harness.Transcript{}
)

func TestControllers(t *testing.T) {
	RegisterFailHandler(Fail)
	suite, reporter := GinkgoConfiguration()
	suite.RandomizeAllSpecs = true
	RunSpecs(t, "Controllers", suite, reporter)
}

var _ = BeforeSuite(func() {
	said.Listen()
	DeferCleanup(func() { ctrl.SetLogger(logr.Discard()) })

	var err error
	plane, err = harness.Start(harness.Options{})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(plane.Stop)
	apiServer, user = plane.Admin, plane.Root
})

// Every token of the simulator, every API key of this suite, and the data of every stranger's
// Secret contain "canary". The output of the operator must never contain that word.
var _ = AfterSuite(func() {
	if apiServer == nil {
		return
	}
	leaked, err := said.Leaks()
	Expect(err).NotTo(HaveOccurred())
	stored, err := plane.Leaks(context.Background(), "")
	Expect(err).NotTo(HaveOccurred())
	Expect(append(leaked, stored...)).To(BeEmpty())
})
