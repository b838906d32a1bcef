package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	// namespaces is the number of namespaces for the PipesTokens.
	namespaces = 10
	// creators is how many PipesTokens are created in parallel.
	creators = 16

	environmentName = "default"
	// unlimited is the largest requestsPerMinute that a PipesEnvironment allows.
	unlimited = 60000
)

func namespaceOf(object int) string { return fmt.Sprintf("agents-%d", object%namespaces) }

// newToken returns a PipesToken as a user would write it. Each PipesToken has a different WorkOS
// user.
func newToken(object int) *v1alpha1.PipesToken {
	return &v1alpha1.PipesToken{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOf(object), Name: fmt.Sprintf("github-%06d", object)},
		Spec:       v1alpha1.PipesTokenSpec{Slug: slug, UserID: fmt.Sprintf("user_%06d", object)},
	}
}

// objectOfUser returns the number of the PipesToken of a user.
func objectOfUser(user string) (int, error) {
	object, err := strconv.Atoi(strings.TrimPrefix(user, "user_"))
	if err != nil {
		return 0, fmt.Errorf("%q is none of the users here", user)
	}
	return object, nil
}

// createEnvironment creates the namespaces and the shared PipesEnvironment, which grants access
// to all namespaces.
func (p *plane) createEnvironment(ctx context.Context, baseURL string, requestsPerMinute int) error {
	objects := []client.Object{
		&corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: "workos-api-key"},
			StringData: map[string]string{"api-key": apiKey},
		},
		&v1alpha1.PipesEnvironment{
			ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: environmentName},
			Spec: v1alpha1.PipesEnvironmentSpec{
				APIKeySecretRef:   v1alpha1.SecretKeyReference{Name: "workos-api-key", Key: "api-key"},
				BaseURL:           baseURL,
				RequestsPerMinute: int32(requestsPerMinute),
				Grants: []v1alpha1.Grant{
					harness.Anything(v1alpha1.GrantNamespaces{Names: []string{v1alpha1.AllNamespaces}}),
				},
			},
		},
	}
	for i := range namespaces {
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOf(i)}})
	}
	for _, object := range objects {
		if err := p.Root.Create(ctx, object); err != nil {
			return fmt.Errorf("creating the PipesEnvironment: %w", err)
		}
	}
	return nil
}

// populate creates the PipesTokens with the numbers from first up to, but not including, end.
func (p *plane) populate(ctx context.Context, first, end int) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(creators)
	for object := first; object < end && ctx.Err() == nil; object++ {
		group.Go(func() error { return p.Root.Create(ctx, newToken(object)) })
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("creating PipesTokens: %w", err)
	}
	return nil
}
