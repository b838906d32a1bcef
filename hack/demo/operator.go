package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

const (
	// operatorNamespace and operatorAccount identify the ServiceAccount in config/default whose
	// rights the operator has.
	operatorNamespace = "pipes-system"
	operatorAccount   = "pipes-operator-manager"
	// operatorKubeconfig is in the workspace and contains a token of that ServiceAccount.
	operatorKubeconfig = "operator.kubeconfig"
	// operatorLog is in the workspace.
	operatorLog = "operator.log"
	// operatorPatience is how long the operator may take to end.
	operatorPatience = 15 * time.Second
)

// operator is a running process of pipes-operator.
type operator struct {
	process *process.Process
	metrics string // address that serves metrics
	probes  string // address that serves /readyz
}

// giveRights writes the kubeconfig of the operator.
func (d *demo) giveRights(ctx context.Context) error {
	token, err := d.kubectl(ctx, "create", "token", operatorAccount, "--namespace="+operatorNamespace, "--duration=48h")
	if err != nil {
		return fmt.Errorf("making a token for the operator: %w", err)
	}
	return d.writeKubeconfig(operatorKubeconfig, operatorAccount, strings.TrimSpace(token))
}

// startOperator starts the operator and waits until its caches are filled.
func (d *demo) startOperator(ctx context.Context) error {
	var err error
	d.operator.process, err = d.startReady(func() (*process.Process, error) { return d.tryOperator(ctx) })
	return err
}

// tryOperator starts the operator on its previous ports, or on free ports if it has none or
// another process has taken one.
func (d *demo) tryOperator(ctx context.Context) (*process.Process, error) {
	if process.Listens(ctx, d.operator.metrics) == nil || process.Listens(ctx, d.operator.probes) == nil ||
		d.operator.metrics == "" {
		addresses, err := process.FreeAddresses(ctx, 2)
		if err != nil {
			return nil, err
		}
		d.operator.metrics, d.operator.probes = addresses[0], addresses[1]
	}
	p, err := d.start("pipes-operator", d.built("pipes-operator"), []string{"KUBECONFIG="}, d.operatorFlags()...)
	if err != nil {
		return nil, err
	}
	return p, p.WaitUntil(ctx, time.Minute, func(ctx context.Context) error {
		return answersOK(ctx, http.DefaultClient, "http://"+d.operator.probes+"/readyz")
	})
}

// operatorFlags returns the flags of the operator.
func (d *demo) operatorFlags() []string {
	return []string{
		"--kubeconfig=" + d.space.path(operatorKubeconfig),
		"--default-environment=" + operatorNamespace + "/default",
		"--allow-insecure-upstream", "--allowed-upstream-hosts=" + d.simulator.address,
		"--metrics-bind-address=" + d.operator.metrics, "--metrics-secure=false",
		"--health-probe-bind-address=" + d.operator.probes,
		"--zap-encoder=console", "--zap-log-level=debug", "--zap-stacktrace-level=panic",
	}
}

// stopOperator stops the operator as a rollout does. The operator must end in time and without
// an error.
func (d *demo) stopOperator() error {
	if err := d.stop(d.operator.process, operatorPatience); err != nil {
		return fmt.Errorf("after SIGTERM: %w", err)
	}
	return nil
}

// lookedAfter returns how many PipesTokens the operator process has reconciled since its start,
// according to its metrics.
func (o *operator) lookedAfter(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+o.metrics+"/metrics", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("reading the operator's metrics: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, fmt.Errorf("reading the operator's metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	tokens := 0
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if !strings.HasPrefix(series, "pipes_operator_tokens{") { // it has a series for each reason
			continue
		}
		n, err := strconv.Atoi(value)
		if err != nil {
			return 0, fmt.Errorf("reading the operator's metrics: %w", err)
		}
		tokens += n
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("reading the operator's metrics: %w", err)
	}
	return tokens, nil
}
