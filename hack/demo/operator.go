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
	// operatorNamespace and operatorAccount are the ServiceAccount of config/default, whose rights the operator has.
	operatorNamespace = "pipes-system"
	operatorAccount   = "pipes-operator-manager"
	// operatorKubeconfig is in the workspace, and holds a token of that ServiceAccount.
	operatorKubeconfig = "operator.kubeconfig"
	// operatorLog is in the workspace.
	operatorLog = "operator.log"
	// operatorPatience is how long it may take to end.
	operatorPatience = 15 * time.Second
)

// operator is pipes-operator, the real program.
type operator struct {
	process *process.Process
	metrics string // the address that it serves metrics on
	probes  string // the address that it serves /readyz on
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

// tryOperator starts the operator on the ports that it had before, if it had any that nobody else has taken since.
func (d *demo) tryOperator(ctx context.Context) (*process.Process, error) {
	if process.Listens(ctx, d.operator.metrics) == nil || process.Listens(ctx, d.operator.probes) == nil || d.operator.metrics == "" {
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

// operatorFlags are the flags that the operator is started with.
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

// stopOperator ends the operator as a rollout does. It has to end well, and in time.
func (d *demo) stopOperator() error {
	if err := d.stop(d.operator.process, operatorPatience); err != nil {
		return fmt.Errorf("after SIGTERM: %w", err)
	}
	return nil
}

// lookedAfter is how many PipesTokens the operator's process has looked at since it was started, by its own metrics.
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
		if !strings.HasPrefix(series, "pipes_operator_tokens{") { // one series for each reason
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
