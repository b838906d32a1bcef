//go:build linux

package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

const (
	// upLimit is how long the node may take to become ready. It usually takes about ten seconds.
	upLimit = 3 * time.Minute
	// readyWord is the report of a node that is ready. Any other report is the reason why it is
	// not.
	readyWord = "ready"
)

// up starts the cluster, unless it is already up, and prints the path of its kubeconfig.
func up(ctx context.Context, o options, stdout io.Writer) (err error) {
	found, _, err := o.place.look()
	if err := cmp.Or(err, mayStart(o.place, found)); err != nil {
		return err
	}
	if found == ready {
		return tellKubeconfig(stdout, o.place, "up already")
	}
	m := thisMachine()
	if err := m.check(); err != nil {
		return err
	}
	if err := m.checkPrograms(o); err != nil {
		return err
	}
	listener, err := listenOnLoopback(ctx, o.port)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }() // the node has its own copy
	if err := o.place.make(o.node); err != nil {
		return err
	}
	started := time.Now()
	defer func() {
		if err != nil {
			err = errors.Join(err, down(o.place, io.Discard))
		}
	}()
	if err := noteMachine(thisHost, o.place.machine()); err != nil {
		return err
	}
	if err := m.cgroups.make(); err != nil {
		return err
	}
	if err := startNode(ctx, o, listener); err != nil {
		return err
	}
	return tellKubeconfig(stdout, o.place, fmt.Sprintf("up in %d s", int(time.Since(started).Seconds())))
}

// tellKubeconfig prints how to reach the cluster.
func tellKubeconfig(stdout io.Writer, p place, state string) error {
	_, err := fmt.Fprintf(stdout, "cluster: %s\nexport KUBECONFIG=%s\n", state, p.kubeconfig())
	return err
}

// printKubeconfig prints only the path, for scripts.
func printKubeconfig(p place, stdout io.Writer) error {
	if found, _, err := p.look(); err != nil || found != ready {
		return cmp.Or(err, errNoCluster)
	}
	_, err := fmt.Fprintln(stdout, p.kubeconfig())
	return err
}

var errNoCluster = errors.New("there is no cluster: run make cluster-up")

// listenOnLoopback opens the port by which the machine reaches the API server.
func listenOnLoopback(ctx context.Context, port int) (*os.File, error) {
	address := fmt.Sprintf("127.0.0.1:%d", port)
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s is in use: choose another port, as in make cluster-up CLUSTER_PORT=%d", address, port+1)
	}
	if err != nil {
		return nil, fmt.Errorf("listening for the API server: %w", err)
	}
	defer func() { _ = listener.Close() }() // the returned file is a copy
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, fmt.Errorf("listening for the API server: %w", err)
	}
	return file, nil
}

// startNode starts process 1 of the cluster in its own namespaces, and waits until the node
// reports that it is ready. Process 1 inherits the listener. A socket stays in the network
// namespace that created it, so the cluster can answer on the port of the machine.
func startNode(ctx context.Context, o options, listener *os.File) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	output, err := os.Create(o.place.nodeLog())
	if err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	defer func() { _ = output.Close() }()
	told, tell, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	defer func() { _ = told.Close() }()

	// Process 1 outlives this program, so no context ends it.
	cmd := exec.CommandContext(context.Background(), self, append([]string{initCommand}, o.arguments()...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", output, output, []*os.File{listener, tell}
	cmd.Env = nodeEnvironment(o.node)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, // Ctrl-C in the terminal must not reach it
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	err = cmd.Start()
	_ = tell.Close() // the node then holds the only writing end, so the pipe ends with the node
	if err != nil {
		return fmt.Errorf("starting the node in namespaces of its own: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps the process while this program runs
	if err := o.place.identify(cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	return awaitNode(ctx, told, o.place)
}

// awaitNode waits for the report of the node.
func awaitNode(ctx context.Context, told *os.File, p place) error {
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	defer context.AfterFunc(ctx, func() { _ = told.Close() })()
	line, err := bufio.NewReader(told).ReadString('\n')
	switch line = strings.TrimSpace(line); {
	case line == readyWord:
		return nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("the node was not ready within %s; the end of its log:\n%s", upLimit, process.Tail(p.nodeLog(), 20))
	case ctx.Err() != nil:
		return errors.New("stopped")
	case line == "":
		return fmt.Errorf("the node has ended (%w); the end of its log:\n%s", err, process.Tail(p.nodeLog(), 20))
	default:
		return fmt.Errorf("%s; the end of the log:\n%s", line, process.Tail(p.nodeLog(), 20))
	}
}

// nodeEnvironment returns the environment for the programs of the node. PATH contains their
// directory, where containerd finds its shim.
func nodeEnvironment(node string) []string {
	path := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	if inherited := os.Getenv("PATH"); inherited != "" {
		path = inherited
	}
	return []string{"PATH=" + node + string(filepath.ListSeparator) + path, "HOME=/root"}
}
