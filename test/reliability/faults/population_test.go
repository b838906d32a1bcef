//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	populated   = 300
	stormSpaces = 4
	// limit is the requestsPerMinute of the storm: too few for all PipesTokens at once, but more
	// than they need on average.
	limit = 540
	// sharedEnvironment is the PipesEnvironment whose grants are withdrawn and restored.
	sharedEnvironment = "shared"
)

// citizen is one PipesToken of the storm, with its expected final state.
type citizen struct {
	namespace, name string
	spec            v1alpha1.PipesTokenSpec
	connection      workossim.Connection
	// reason is the reason of Ready after all faults have ended.
	reason string
}

// Lifetimes of tokens, and how early WorkOS returns the next token. A renewal is due at half of
// the lifetime or two minutes before the expiry, whichever is later.
var (
	lifetimes = []time.Duration{90 * time.Second, 2 * time.Minute, 4 * time.Minute, 4 * time.Minute, 6 * time.Minute}
	// -1: WorkOS returns a fresh token at each call.
	leads     = []time.Duration{-1, 3 * time.Minute, -1, 75 * time.Second, 3 * time.Minute, 20 * time.Second, 0}
	policies  = []v1alpha1.InactivePolicy{v1alpha1.InactivePolicyClear, v1alpha1.InactivePolicyDelete, v1alpha1.InactivePolicyRetain}
	templates = []*v1alpha1.SecretTemplate{
		nil,
		{Labels: map[string]v1alpha1.LabelValue{"team": "red"}},
		{Data: map[string]v1alpha1.DataTemplate{".netrc": "machine github.com password {{ .AccessToken }}", "until": "{{ .ExpiresAt }}"}},
		{Type: v1alpha1.SecretTypeBasicAuth, Data: map[string]v1alpha1.DataTemplate{"username": "x", "password": "{{ .AccessToken }}"}},
	}
)

// population returns all PipesTokens: most have a connection, and a few have a problem.
func population() []*citizen {
	var all []*citizen
	for i := range populated {
		c := &citizen{namespace: fmt.Sprintf("storm-%d", i%stormSpaces), name: fmt.Sprintf("token-%d", i), reason: v1alpha1.TokenSyncedReason}
		c.spec = v1alpha1.PipesTokenSpec{
			Slug: []string{"github", "slack", "google-drive"}[i%3], UserID: fmt.Sprintf("user_%d", i),
			InactivePolicy: policies[i%len(policies)], SecretTemplate: templates[i%len(templates)],
		}
		if i%5 == 0 {
			c.spec.OrganizationID = fmt.Sprintf("org_%d", i%7)
		}
		if i%7 == 0 {
			c.spec.RenewBefore = &metav1.Duration{Duration: 3 * time.Minute}
		}
		if i%10 == 9 {
			c.spec.EnvironmentRef = &v1alpha1.EnvironmentReference{Name: sharedEnvironment, Namespace: harness.Namespace}
		}
		c.connect(i)
		c.beset(i)
		all = append(all, c)
	}
	return all
}

func (c *citizen) connect(i int) {
	lead := leads[(i/4)%len(leads)]
	c.connection = workossim.Connection{
		ID:       workossim.ID{Slug: c.spec.Slug, UserID: c.spec.UserID, OrganizationID: c.spec.OrganizationID},
		Lifetime: lifetimes[i%len(lifetimes)], RefreshLead: max(lead, 0), AlwaysFresh: lead < 0, Scopes: []string{"repo"}, TokenPrefix: "gho_",
	}
	if i%12 == 11 {
		c.connection.NoExpiry, c.connection.AlwaysFresh = true, i%24 == 11
		c.spec.RefreshInterval = &metav1.Duration{Duration: time.Minute}
		if c.spec.SecretTemplate != nil && c.spec.SecretTemplate.Type == "" {
			c.spec.SecretTemplate = nil
		}
	}
}

// beset gives some PipesTokens a problem that keeps them from getting a token.
func (c *citizen) beset(i int) {
	switch i % 50 {
	case 13:
		c.reason, c.spec.SecretName = v1alpha1.SecretConflictReason, "taken-"+c.name
	case 26:
		c.reason, c.spec.SecretTemplate = v1alpha1.InvalidTemplateReason,
			&v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{"x": "{{ range .Scopes }}{{ end }}"}}
	case 38:
		c.reason, c.spec.Slug = v1alpha1.IntegrationNotFoundReason, "unheard-of"
	case 41:
		c.reason, c.connection.State = v1alpha1.NotInstalledReason, workossim.NotInstalled
	}
}

// healthy reports whether the PipesToken gets a token when no fault is active.
func (c *citizen) healthy() bool { return c.reason == v1alpha1.TokenSyncedReason }

func (c *citizen) fullName() string { return c.namespace + "/" + c.name }

func (c *citizen) object() *v1alpha1.PipesToken {
	return &v1alpha1.PipesToken{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: c.name}, Spec: *c.spec.DeepCopy()}
}

// secretName is the name of its Secret.
func (c *citizen) secretName() string { return c.object().TargetSecretName() }

// settle creates everything that the storm needs: namespaces, environments, Secrets of strangers,
// and all PipesTokens.
func (s *site) settle(t *testing.T, workos *wire, citizens []*citizen) {
	t.Helper()
	g, ctx, root := NewWithT(t), context.Background(), s.plane.root
	create := func(object client.Object) { g.Expect(root.Create(ctx, object)).To(Succeed()) }
	var spaces []string
	for i := range stormSpaces {
		spaces = append(spaces, fmt.Sprintf("storm-%d", i))
		g.Expect(s.plane.CreateNamespaces(ctx, spaces[i])).To(Succeed())
		for j := range 10 {
			s.bringStranger(t, spaces[i], fmt.Sprintf("strangers-%d", j))
		}
	}
	create(keySecretIn(harness.Namespace))
	for _, name := range []string{"default", sharedEnvironment} {
		environment := pipesEnvironment(workos, harness.Namespace, name, spaces...)
		environment.Spec.RequestsPerMinute = limit
		create(environment)
	}
	for _, c := range citizens {
		if c.reason != v1alpha1.IntegrationNotFoundReason {
			s.upstream.Put(c.connection)
		}
		if c.reason == v1alpha1.SecretConflictReason {
			s.bringStranger(t, c.namespace, c.secretName())
		}
		create(c.object())
	}
}

// anyHealthy returns a random healthy PipesToken.
func anyHealthy(random *rand.Rand, citizens []*citizen) *citizen {
	for {
		if c := citizens[random.IntN(len(citizens))]; c.healthy() {
			return c
		}
	}
}

// collectGarbage does the work of the garbage collector of the controller manager, which does not
// run in this suite: it deletes Secrets whose PipesToken is gone, with a delay of up to half a
// second.
func (c *controlPlane) collectGarbage(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var collecting sync.WaitGroup
	collecting.Go(func() {
		for ctx.Err() == nil {
			// An error, such as an API server that is down, is ignored: the next run tries again.
			_ = c.collectOnce(ctx)
			pass(ctx, 500*time.Millisecond)
		}
	})
	t.Cleanup(func() { cancel(); collecting.Wait() })
}

func (c *controlPlane) collectOnce(ctx context.Context) error {
	// The Secrets are listed first: an owner that is not in the later list of PipesTokens is
	// really gone.
	var secrets corev1.SecretList
	if err := c.root.List(ctx, &secrets); err != nil {
		return err
	}
	var tokens v1alpha1.PipesTokenList
	if err := c.root.List(ctx, &tokens); err != nil {
		return err
	}
	living := map[types.UID]bool{}
	for i := range tokens.Items {
		living[tokens.Items[i].UID] = true
	}
	for i := range secrets.Items {
		secret := &secrets.Items[i]
		if owner := metav1.GetControllerOf(secret); owner == nil || living[owner.UID] {
			continue
		}
		unchanged := client.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}
		if err := client.IgnoreNotFound(c.root.Delete(ctx, secret, unchanged)); err != nil {
			return err
		}
	}
	return nil
}
