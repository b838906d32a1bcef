package main

import (
	"context"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// greet prints how to use the demo from another shell.
func (d *demo) greet() {
	d.out.gap()
	d.out.printf("%sThe operator's log: %s\n", indent, d.space.path(operatorLog))
	d.out.printf("%sTo type along in another shell, begin with:\n\n", indent)
	d.out.command("$ . " + d.space.path("env") + "   # KUBECONFIG, PATH and SIMULATOR\n")
}

// help prints commands to try while the demo stays up.
func (d *demo) help() {
	d.out.say("Everything stays up until Ctrl-C. In another shell:")
	for _, line := range []string{
		"export KUBECONFIG=" + quote(d.space.path(adminKubeconfig)),
		"export PATH=" + quote(d.assets) + `:"$PATH"   # kubectl`,
		"export SIMULATOR=" + d.simulator.control(),
		"",
		"kubectl get pipestokens -w",
		"kubectl describe pipestoken slack-alice",
		"kubectl get events",
		"kubectl explain pipestoken.spec",
		"kubectl edit pipesenvironment default -n " + operatorNamespace + "   # withdraw a grant",
		"",
		"curl $SIMULATOR/connections",
		"curl $SIMULATOR/requests",
		`curl $SIMULATOR/state -d '{"slug":"slack","userID":"user_01ALICE","state":"not_installed"}'`,
		`curl $SIMULATOR/faults -d '{"kind":"server_error","times":3}'`,
		`kubectl annotate pipestoken slack-alice --overwrite \`,
		`    pipes.workos.com/refresh-requested-at="$(date +%s)"   # ask WorkOS now`,
		"",
		"curl http://" + d.operator.metrics + "/metrics | grep ^pipes_operator",
		"tail -f " + d.space.path(operatorLog),
	} {
		d.out.command(line + "\n")
	}
	d.out.say("There is an API server here and no more: no node, and no garbage collector. A Secret whose PipesToken " +
		"you delete stays, and the operator's own Deployment has no pods; the demo runs it, with the rights of its " +
		"ServiceAccount.")
}

// explain prints the state of the cluster after a failed step.
func (d *demo) explain(ctx context.Context, failure error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	d.out.gap()
	d.out.printf("%s %v\n\n", d.out.paint(red, "FAILED:"), failure)
	for _, a := range []action{
		d.user("get", "pipestokens", "-o", "wide"),
		d.user("get", "secrets", "--show-labels"),
		d.user("get", "pipesenvironments", "--all-namespaces"),
		d.journal(),
	} {
		d.out.command(a.line())
		output, err := a.run(ctx)
		if err != nil {
			output = err.Error()
		}
		d.out.output(output + "\n")
	}
	d.out.command("$ tail -n 30 " + d.space.path(operatorLog))
	d.out.output(process.Tail(d.space.path(operatorLog), 30))
}

// idle keeps writing the table until the context ends or a program ends.
func (r *runner) idle(ctx context.Context) error {
	table := &tableWriter{out: r.out}
	tick := time.NewTicker(r.poll)
	defer tick.Stop()
	for {
		table.write(r.rows())
		if err := r.dead(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
