package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	v1alpha1ac "github.com/pipes-operator/pipes-operator/api/v1alpha1/applyconfiguration/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// floorCommand makes this program the floor: it does the work of the operator without an
// operator. It has the rights, the transports, the client settings and the parallelism of the
// operator. It makes the same calls and writes, and stores no state.
const floorCommand = "floor"

// The phases of the floor. Each runs as a separate process.
const (
	// For each object: a call to WorkOS, a new Secret, a status and an event.
	phaseCold = "cold"
	// For each object: a call to WorkOS, a patch of the Secret and a status.
	phaseRotation = "rotation"
	// For each object: a cleared Secret, a status and an event.
	phaseWithdrawal = "withdrawal"
)

// floorResult is what a floor process measures of itself, without its preparation.
type floorResult struct {
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	CPU     float64   `json:"cpuSeconds"`
}

// floor makes the calls and writes.
type floor struct {
	phase    string
	upstream string
	workos   *http.Transport
	core     rest.Interface
	pipes    rest.Interface
	events   rest.Interface
}

// runFloor is the main function of the floor.
func runFloor(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet(floorCommand, flag.ContinueOnError)
	phase := flags.String("phase", "", "")
	upstream := flags.String("upstream", "", "")
	kubeconfig := flags.String("kubeconfig", "", "")
	workers := flags.Int("workers", 1, "")
	resultFile := flags.String("result", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	config, err := clientcmd.BuildConfigFromFlags("", *kubeconfig)
	if err != nil {
		return fmt.Errorf("reading the kubeconfig: %w", err)
	}
	f, err := newFloor(config, *phase, *upstream)
	if err != nil {
		return err
	}
	targets, err := f.findTargets(ctx, config)
	if err != nil {
		return err
	}
	result, err := f.work(ctx, targets, *workers)
	if err != nil {
		return err
	}
	text, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return os.WriteFile(*resultFile, text, 0o600)
}

// newFloor creates the clients as the operator does: a shared connection to the API server, and
// JSON.
func newFloor(config *rest.Config, phase, upstream string) (*floor, error) {
	if phase != phaseCold && phase != phaseRotation && phase != phaseWithdrawal {
		return nil, fmt.Errorf("--phase: there is no %q", phase)
	}
	config.QPS = -1
	config.UserAgent = "pipes-operator/floor"
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, err
	}
	f := &floor{phase: phase, upstream: upstream, workos: workos.NewTransport()}
	for _, each := range []struct {
		into    *rest.Interface
		path    string
		version schema.GroupVersion
	}{
		{&f.core, "/api", corev1.SchemeGroupVersion},
		{&f.pipes, "/apis", v1alpha1.GroupVersion},
		{&f.events, "/apis", eventsv1.SchemeGroupVersion},
	} {
		own := rest.CopyConfig(config)
		own.APIPath, own.GroupVersion = each.path, &each.version
		own.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
		if *each.into, err = rest.RESTClientForConfigAndClient(own, httpClient); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// work processes all targets, with as many in parallel as workers, and measures time and CPU.
func (f *floor) work(ctx context.Context, targets []target, workers int) (floorResult, error) {
	before, err := ownCPU()
	if err != nil {
		return floorResult{}, err
	}
	result := floorResult{Started: time.Now()}
	events := &emitter{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for _, each := range targets {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return f.one(ctx, each, events) })
	}
	err = errors.Join(group.Wait(), events.wait())
	if err != nil {
		return floorResult{}, err
	}
	result.Seconds = time.Since(result.Started).Seconds()
	after, err := ownCPU()
	result.CPU = after - before
	return result, err
}

// one makes the calls and writes for an object.
func (f *floor) one(ctx context.Context, t target, events *emitter) error {
	if f.phase == phaseWithdrawal {
		if err := f.patchSecret(ctx, t, clearedOf(t.token)); err != nil {
			return err
		}
		return f.tell(ctx, t, withdrawnStatusOf(t.token), v1alpha1.NotGrantedReason, events)
	}
	answer, err := f.ask(ctx, t.token)
	if err != nil {
		return err
	}
	if f.phase == phaseRotation {
		if err := f.patchSecret(ctx, t, secretOf(t.token, answer)); err != nil {
			return err
		}
		return f.writeStatus(ctx, t, statusOf(t.token, answer))
	}
	if err := f.createSecret(ctx, secretOf(t.token, answer)); err != nil {
		return err
	}
	return f.tell(ctx, t, statusOf(t.token, answer), v1alpha1.TokenSyncedReason, events)
}

// tell writes the status and then emits an event.
func (f *floor) tell(
	ctx context.Context, t target, status *v1alpha1ac.PipesTokenApplyConfiguration, reason string, events *emitter,
) error {
	if err := f.writeStatus(ctx, t, status); err != nil {
		return err
	}
	events.emit(func() error { return f.emitEvent(context.WithoutCancel(ctx), t, reason) })
	return nil
}

// emitter sends events in the background, as client-go's recorder does.
type emitter struct {
	group sync.WaitGroup
	mu    sync.Mutex
	errs  []error
}

func (e *emitter) emit(send func() error) {
	e.group.Go(func() {
		if err := send(); err != nil {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.errs = append(e.errs, err)
		}
	})
}

func (e *emitter) wait() error {
	e.group.Wait()
	return errors.Join(e.errs...)
}

// ownCPU returns the CPU time of this process so far, in seconds.
func ownCPU() (float64, error) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0, fmt.Errorf("reading CPU times: %w", err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()).Seconds(), nil
}
