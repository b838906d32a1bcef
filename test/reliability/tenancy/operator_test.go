//go:build reliability

package tenancy_test

import (
	"context"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	clocks "k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
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
	p.stop = sync.OnceFunc(func() { running.Stop(); Expect(said.Gather(running.Metrics)).To(Succeed()) })
}

// install gives the operator and the users of the cluster the rights of config/default, from its
// files.
func install() {
	GinkgoHelper()
	ctx := context.Background()
	Expect(plane.Install(ctx, nil, "rbac", "user-roles")).To(Succeed())
	aggregate(ctx)
}

// aggregate merges roles into the built-in roles by their labels. In a cluster, the controller
// manager does this.
func aggregate(ctx context.Context) {
	GinkgoHelper()
	for _, name := range []string{"view", "edit", "admin"} { // each role is part of the next
		role := &rbacv1.ClusterRole{}
		Expect(root.Get(ctx, client.ObjectKey{Name: name}, role)).To(Succeed())
		for _, selector := range role.AggregationRule.ClusterRoleSelectors {
			parts := &rbacv1.ClusterRoleList{}
			Expect(root.List(ctx, parts, client.MatchingLabels(selector.MatchLabels))).To(Succeed())
			for _, part := range parts.Items {
				role.Rules = append(role.Rules, part.Rules...)
			}
		}
		Expect(role.Rules).NotTo(BeEmpty())
		Expect(root.Update(ctx, role)).To(Succeed())
	}
}

func createNamespace(name string) {
	GinkgoHelper()
	Expect(plane.CreateNamespaces(context.Background(), name)).To(Succeed())
}

// actingAs returns a configuration that impersonates a user.
func actingAs(user string, groups ...string) *rest.Config {
	config := rest.CopyConfig(plane.Admin)
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: append(groups, "system:authenticated")}
	return config
}

// userWith returns a client of a user who is bound to a built-in role in one namespace, and has
// no other right.
func userWith(ctx context.Context, role, namespace string) client.Client {
	GinkgoHelper()
	name := role + "-of-" + namespace
	Expect(root.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: name}},
	})).To(Succeed())
	Expect(plane.AwaitRights(ctx, name,
		harness.Right{Verb: "create", Group: v1alpha1.GroupVersion.Group, Resource: "pipestokens", Namespace: namespace})).To(Succeed())
	user, err := client.New(actingAs(name), client.Options{Scheme: harness.Scheme, Mapper: root.RESTMapper(), FieldOwner: "kubectl"})
	Expect(err).NotTo(HaveOccurred())
	return client.WithFieldValidation(user, metav1.FieldValidationStrict)
}
