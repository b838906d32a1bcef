//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// readyReport is the report of a node that is ready. Any other report is the reason why it is not.
const readyReport = "ready"

// downLimit is how long the processes of a cluster may take to end after they are killed.
const downLimit = 30 * time.Second

var errNoCluster = errors.New("there is no cluster: run make cluster-up")

// up starts the cluster, unless it is already up, and prints the path of its kubeconfig.
func up(ctx context.Context, o options, _ []string) error {
	if err := check(ctx, o, nil); err != nil {
		return err
	}
	said, started := "up already", time.Now()
	if found, _, _ := o.place.state(); found != ready {
		if err := start(ctx, o); err != nil {
			return err
		}
		said = fmt.Sprintf("up in %d s", int(time.Since(started).Seconds()))
	}
	fmt.Printf("cluster: %s\nexport KUBECONFIG=%s\n", said, o.place.kubeconfig())
	return nil
}

// start starts the cluster. If that fails, it removes what it made.
func start(ctx context.Context, o options) (err error) {
	if err := o.place.make(o.node); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, remove(o.place))
		}
	}()
	if err := thisHost.save(o.place.savedHost()); err != nil {
		return err
	}
	if err := thisHost.cgroups.make(); err != nil {
		return err
	}
	if err := startNode(ctx, o); err != nil {
		return fmt.Errorf("starting the node: %w", err)
	}
	return nil
}

// startNode starts process 1 of the cluster in its own namespaces, and waits until the node
// reports that it is ready. Process 1 inherits the listener. A socket stays in the network
// namespace that created it, so the cluster can answer on the port of the machine.
func startNode(ctx context.Context, o options) error {
	listener, err := listenOnLoopback(ctx, o.port)
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	socket, err := listener.File()
	if err != nil {
		return err
	}
	defer func() { _ = socket.Close() }()
	output, err := os.Create(o.place.log("node"))
	if err != nil {
		return err
	}
	defer func() { _ = output.Close() }()
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = reader.Close() }()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// Process 1 outlives this program, so no context ends it.
	cmd := exec.CommandContext(context.Background(), self, append([]string{initCommand}, o.arguments...)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = "/", output, output, []*os.File{socket, writer}
	cmd.Env = []string{"PATH=" + o.node + ":" + os.Getenv("PATH"), "HOME=/root"} // containerd finds its shim in PATH
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid: true, // Ctrl-C in the terminal must not reach it
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID |
			syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
	}
	err = cmd.Start()
	_ = writer.Close() // the pipe ends when the node ends
	if err != nil {
		return fmt.Errorf("in namespaces of its own: %w", err)
	}
	go func() { _ = cmd.Wait() }() // reaps the process while this program runs
	if err := o.place.identify(cmd.Process.Pid); err != nil {
		return errors.Join(err, cmd.Process.Kill())
	}
	return awaitNode(ctx, reader, o.place)
}

// awaitNode waits for the report of the node.
func awaitNode(ctx context.Context, reader *os.File, p place) error {
	defer context.AfterFunc(ctx, func() { _ = reader.Close() })()
	report, _ := io.ReadAll(reader) // a partial report is better than the error of reading it
	switch reason := cmp.Or(strings.TrimSpace(string(report)), "it has ended"); {
	case reason == readyReport:
		return nil
	case ctx.Err() != nil:
		return errors.New("stopped")
	default:
		return fmt.Errorf("%s; the end of its log:\n%s", reason, tail(p.log("node"), 20))
	}
}

// down ends the cluster, if it exists, and removes everything that is left of it.
func down(_ context.Context, o options, _ []string) error {
	if os.Geteuid() != 0 {
		return errNoRoot
	}
	said := "down"
	if found, _, _ := o.place.state(); found == absent {
		said = "there is none"
	}
	if err := remove(o.place); err != nil {
		return err
	}
	fmt.Println("cluster:", said)
	return nil
}

// remove ends the cluster and removes everything that is left of it. It needs no graceful
// shutdown, because no state is kept: when process 1 of the cluster ends, the kernel kills all
// other processes, pods included.
func remove(p place) error {
	deadline := time.Now().Add(downLimit)
	if err := end(p, deadline); err != nil {
		return fmt.Errorf("ending the cluster: %w", err)
	}
	if err := thisHost.cgroups.remove(deadline); err != nil {
		return fmt.Errorf("removing the cgroup of the cluster: %w", err)
	}
	return errors.Join(restore(p.savedHost()), os.RemoveAll(string(p)))
}

// end kills process 1 and waits until it is gone. The kernel removes process 1 only after all
// other processes of the cluster.
func end(p place, deadline time.Time) error {
	for {
		found, pid, err := p.state()
		if err != nil || found == absent || found == leftover {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is still there %s after it was killed", pid, downLimit)
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// printKubeconfig prints only the path, for scripts.
func printKubeconfig(_ context.Context, o options, _ []string) error {
	if found, _, _ := o.place.state(); found != ready {
		return errNoCluster
	}
	fmt.Println(o.place.kubeconfig())
	return nil
}

// load imports images into the cluster. Pods then need no registry for them.
func load(ctx context.Context, o options, files []string) error {
	if found, _, _ := o.place.state(); found != ready {
		return errNoCluster
	}
	for _, file := range files {
		if err := o.place.ctr(ctx, "images", "import", file); err != nil {
			return err
		}
		fmt.Println("cluster: loaded", file)
	}
	return nil
}
