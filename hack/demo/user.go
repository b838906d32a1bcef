package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/hack/process"
)

// action is what the user does.
type action struct {
	// line is the action as the user would type it.
	line string
	run  func(context.Context) (output string, err error)
}

// exports are the commands that prepare another shell.
func (d *demo) exports() string {
	return fmt.Sprintf("  export KUBECONFIG='%s'\n  export PATH='%s':\"$PATH\"   # kubectl\n  export SIMULATOR=%s\n"+
		"  tail -f '%s'   # the operator's log\n", d.path("kubeconfig"), d.assets, d.control(), d.path("operator.log"))
}

// control returns the URL of the simulator's control API.
func (d *demo) control() string { return "http://" + d.upstream + "/_simulator" }

// user returns a shell command of the user.
func (d *demo) user(line string) action {
	return action{line, func(ctx context.Context) (string, error) { return d.shell(ctx, line) }}
}

// shell runs a command in the directory with the samples, and returns its output. The preferences
// of the person who runs the demo do not apply to kubectl.
func (d *demo) shell(ctx context.Context, line string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = d.directory
	cmd.Env = append(os.Environ(), "KUBECONFIG="+d.path("kubeconfig"), "KUBECACHEDIR="+d.path("cache"), "KUBERC=off",
		"PATH="+d.assets+string(os.PathListSeparator)+os.Getenv("PATH"))
	cmd.SysProcAttr = process.Attributes()
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // kubectl too
	output, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, output)
	}
	return string(output), nil
}

// refresh makes the operator ask WorkOS immediately. Any new value of the annotation does that.
func (d *demo) refresh(s sample) action {
	return d.user("kubectl annotate pipestoken " + s.name + " --overwrite \\\n      " +
		v1alpha1.RefreshRequestedAtAnnotation + `="$(date +%s)"`)
}

// simulate changes the simulated WorkOS. It does what the curl command does, without curl.
func (d *demo) simulate(endpoint, body string) action {
	line := "curl $SIMULATOR/" + endpoint + " \\\n      -d '" + body + "'"
	return action{line, func(ctx context.Context) (string, error) {
		_, err := request(ctx, http.MethodPost, d.control()+"/"+endpoint, body)
		return "", err
	}}
}

// restart stops the operator as a rollout does, and starts it again.
func (d *demo) restart() action {
	return action{"kill -TERM " + fmt.Sprint(d.operator.PID()) + "   # the operator; and start it again",
		func(ctx context.Context) (string, error) {
			if err := d.operator.Stop(patience); err != nil {
				return "", err
			}
			return "", d.startOperator(ctx)
		}}
}

// explain prints the state of the cluster after a failed step.
func (d *demo) explain(ctx context.Context) {
	for _, line := range []string{
		"kubectl get pipestokens -o wide", "kubectl get secrets --show-labels",
		"kubectl get pipesenvironments -A", "tail -n 30 operator.log",
	} {
		output, err := d.shell(ctx, line)
		if err != nil {
			output = err.Error()
		}
		printBlock("$ "+line, output)
	}
}

func request(ctx context.Context, method, url, body string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s answers %s: %s", url, response.Status, answer)
	}
	return string(answer), err
}
