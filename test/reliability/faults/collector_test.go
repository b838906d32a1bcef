//go:build reliability

package faults_test

import (
	"context"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

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
