package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// operator is a running process of pipes-operator.
type operator struct {
	process *process.Process
	metrics string // address that serves metrics
	probes  string // address that serves /readyz
	// started is when the process started, synced when its caches were filled, and leading when
	// it became the leader.
	started, synced, leading time.Time
}

// operatorSettings describes for the report how the operator's settings differ from
// config/default.
const operatorSettings = "the operator runs with the flags of config/manager, but --max-concurrent-reconciles " +
	"where --workers says so, and without GOMEMLIMIT (GOGC is its own unless it is set); " +
	"WorkOS is reached over HTTP/1.1 without TLS"

// launch starts a replica of the operator.
func (s *stage) launch(ctx context.Context, name string) (*operator, error) {
	addresses, err := process.FreeAddresses(ctx, 2)
	if err != nil {
		return nil, err
	}
	o := &operator{metrics: addresses[0], probes: addresses[1], started: time.Now()}
	o.process, err = s.start(ctx, s.name+"-"+name, "pipes-operator",
		"--kubeconfig="+s.plane.kubeconfig,
		"--default-environment="+harness.Namespace+"/"+environmentName,
		"--allow-insecure-upstream", "--allowed-upstream-hosts="+s.simulator.address,
		"--max-concurrent-reconciles="+strconv.Itoa(s.Workers),
		"--leader-elect", "--leader-election-namespace="+harness.Namespace,
		"--metrics-bind-address="+o.metrics, "--metrics-secure=false",
		"--health-probe-bind-address="+o.probes)
	return o, err
}

// awaitSynced waits until the caches are filled.
func (o *operator) awaitSynced(ctx context.Context, limit time.Duration) error {
	err := o.process.WaitUntil(ctx, limit,
		func(ctx context.Context) error {
			_, err := harness.Get(ctx, http.DefaultClient, "http://"+o.probes+"/readyz")
			return err
		})
	o.synced = time.Now()
	return err
}

// awaitLeading waits until the replica is the leader.
func (o *operator) awaitLeading(ctx context.Context, limit time.Duration) error {
	err := o.process.WaitUntil(ctx, limit, o.leads)
	o.leading = time.Now()
	return err
}

// leads returns an error until the replica is the leader.
func (o *operator) leads(ctx context.Context) error {
	read, err := o.read(ctx, "leader_election_master_status")
	if err != nil {
		return err
	}
	if read.sum("leader_election_master_status", nil) < 1 {
		return errors.New("it does not lead")
	}
	return nil
}

func (o *operator) read(ctx context.Context, names ...string) (samples, error) {
	return scrape(ctx, http.DefaultClient, "http://"+o.metrics+"/metrics", names...)
}

// passes returns how many reconciles of PipesTokens the process has made.
func (o *operator) passes(ctx context.Context) (float64, error) {
	const metric = "controller_runtime_reconcile_total"
	read, err := o.read(ctx, metric)
	return read.sum(metric, map[string]string{"controller": "pipestoken"}), err
}

// lookedAfter reports whether the operator has reconciled n PipesTokens since its start and its
// queue is empty.
func (o *operator) lookedAfter(ctx context.Context, n int) (missing string, err error) {
	const tokens, depth, busy = "pipes_operator_tokens", "workqueue_depth", "controller_runtime_active_workers"
	read, err := o.read(ctx, tokens, depth, busy)
	if err != nil {
		return "", err
	}
	known, waiting := read.sum(tokens, nil), read.sum(depth, map[string]string{"name": "pipestoken"})
	active := read.sum(busy, map[string]string{"controller": "pipestoken"})
	if int(known) < n || waiting > 0 || active > 0 {
		missing = fmt.Sprintf("it has looked at %.0f of %d, %.0f are waiting and %.0f being looked at",
			known, n, waiting, active)
	}
	return missing, nil
}
