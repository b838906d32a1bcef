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

// collectGarbage does what the garbage collector of the controller manager does, which is not here: Secrets whose PipesToken is gone
// are deleted, a moment later.
func (c *controlPlane) collectGarbage(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var collecting sync.WaitGroup
	collecting.Go(func() {
		for ctx.Err() == nil {
			// What fails, because the API server is away, works the next time.
			_ = c.collectOnce(ctx)
			pass(ctx, 500*time.Millisecond)
		}
	})
	t.Cleanup(func() { cancel(); collecting.Wait() })
}

func (c *controlPlane) collectOnce(ctx context.Context) error {
	var secrets corev1.SecretList // first, so that an owner that is not listed afterwards is gone
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
