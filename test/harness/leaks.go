package harness

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/test/harness/canary"
)

// Transcript receives the log and the metrics of operators. It keeps only the canaries in them.
type Transcript struct {
	mu                sync.Mutex
	entries, families int
	leaked            []string
}

// Listen sends the log of this process to the transcript, at the highest verbosity.
// controller-runtime uses only the first logger that is set.
func (t *Transcript) Listen() {
	logger := zap.New(zap.WriteTo(t), zap.UseDevMode(true), zap.Level(zapcore.Level(-10)))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
}

// Write receives an entry of the log.
func (t *Transcript) Write(p []byte) (int, error) {
	found := canary.Find(string(p))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.entries++
	t.keep(found)
	return len(p), nil
}

// Gather reads the metrics of a registry.
func (t *Transcript) Gather(registry prometheus.Gatherer) error {
	families, err := registry.Gather()
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.families += len(families)
	for _, family := range families {
		t.keep(canary.Find(family.String()))
	}
	return nil
}

func (t *Transcript) keep(found string) {
	if found != "" {
		t.leaked = append(t.leaked, found)
	}
}

// Leaks returns the canaries in the log and in the metrics. It is an error if there is no log or
// no metric.
func (t *Transcript) Leaks() ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == 0 || t.families == 0 {
		return nil, fmt.Errorf("there are %d entries of the log and %d metrics", t.entries, t.families)
	}
	return t.leaked, nil
}

// Leaks returns the canaries in everything that a user without the right to read Secrets can read
// in a namespace, and in the metadata of Secrets. An empty namespace stands for all: then it is an
// error if there are no objects of a kind.
func (c *ControlPlane) Leaks(ctx context.Context, namespace string) (leaked []string, err error) {
	look := func(where string, object any) error {
		var text bytes.Buffer
		err := json.NewEncoder(&text).Encode(object)
		if found := canary.Find(text.String()); found != "" {
			leaked = append(leaked, where+": "+found)
		}
		return err
	}
	for _, list := range []client.ObjectList{
		&v1alpha1.PipesTokenList{}, &v1alpha1.PipesEnvironmentList{}, &eventsv1.EventList{},
	} {
		if err := c.Root.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, err
		}
		if namespace == "" && meta.LenList(list) == 0 {
			return nil, fmt.Errorf("there is no object in the %T", list)
		}
		if err := look(fmt.Sprintf("%T", list), list); err != nil {
			return nil, err
		}
	}
	secrets := &corev1.SecretList{}
	if err := c.Root.List(ctx, secrets, client.InNamespace(namespace)); err != nil {
		return nil, err
	}
	for _, secret := range secrets.Items {
		if err := look("the metadata of Secret "+secret.Name, secret.ObjectMeta); err != nil {
			return nil, err
		}
	}
	return leaked, nil
}
