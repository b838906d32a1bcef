//go:build linux

// Command cluster runs a Kubernetes cluster with one node on this machine, for tests that need
// pods. It starts etcd, the whole control plane, a kubelet and containerd, as in a real cluster.
// `make cluster-up` and `make cluster-down` run it.
//
// The cluster lives in its own namespaces (network, mount, PID, IPC and UTS), like a container.
// It has no route to any other network. The machine reaches only the API server, on a port of
// 127.0.0.1. When process 1 of the cluster ends, for any reason, the kernel kills every process
// in the cluster and removes its mounts and interfaces. The cgroups and one directory remain:
// `cluster down` removes them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
)

const (
	exitFailed = 1
	exitUsage  = 2

	usage = `A Kubernetes cluster of one node on this machine. Run it with: make cluster-up, make cluster-down

Usage:
  cluster check          say whether it could be started here, as far as that can be said at once
  cluster up             start it, unless it is up, and print its kubeconfig
  cluster down           stop it, and remove all that is left of it
  cluster load FILE...   give it images, as docker-archive tarballs
  cluster kubeconfig     print the path of its kubeconfig, if it is up

Flags of up:
  --control-plane DIR   etcd, kube-apiserver and kubectl
  --node DIR            the other programs of a node
  --sandbox-image NAME  the image of process 1 of each pod
  --sandbox-archive FILE   a docker-archive with it
  --port PORT           of 127.0.0.1, for the API server (default 6443); of check as well
`
)

func main() {
	// The kernel kills a child process when the thread that started it ends. This goroutine
	// starts all programs, so it is locked to a thread that lasts. See process.Start.
	runtime.LockOSThread()
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	err := dispatch(ctx, args, stdout)
	var mistake usageError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		_, _ = io.WriteString(stdout, usage)
		return 0
	case errors.As(err, &mistake):
		_, _ = fmt.Fprintf(stderr, "cluster: %v; see cluster --help\n", err)
		return exitUsage
	default:
		_, _ = fmt.Fprintln(stderr, "cluster:", err)
		return exitFailed
	}
}

// usageError is a mistake on the command line.
type usageError struct{ error }

func dispatch(ctx context.Context, args []string, stdout io.Writer) error {
	o := options{place: defaultPlace}
	if len(args) == 0 {
		return usageError{errors.New("say what to do: check, up, down, load or kubeconfig")}
	}
	rest, err := o.parse(args)
	if err != nil {
		return err
	}
	if args[0] != "load" && len(rest) > 0 {
		return usageError{fmt.Errorf("%q is too much", rest[0])}
	}
	switch args[0] {
	case "check":
		return check(ctx, o)
	case "up":
		return up(ctx, o, stdout)
	case "down":
		return down(o.place, stdout)
	case "load":
		return load(ctx, o, rest, stdout)
	case "kubeconfig":
		return printKubeconfig(o.place, stdout)
	case initCommand:
		return superviseNode(args[1:])
	case nodeCommand:
		return runNode(ctx, o)
	case "-h", "-help", "--help", "help":
		return flag.ErrHelp
	default:
		return usageError{fmt.Errorf("no command %q: use check, up, down, load or kubeconfig", args[0])}
	}
}

// options are the values of the flags.
type options struct {
	place          place
	controlPlane   string
	node           string
	sandboxImage   string
	sandboxArchive string
	port           int
}

// defaultPort is the usual port of an API server.
const defaultPort = 6443

// parse reads the flags after the command, and returns the arguments after the flags.
func (o *options) parse(args []string) ([]string, error) {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.controlPlane, "control-plane", "", "")
	flags.StringVar(&o.node, "node", "", "")
	flags.StringVar(&o.sandboxImage, "sandbox-image", "", "")
	flags.StringVar(&o.sandboxArchive, "sandbox-archive", "", "")
	flags.IntVar(&o.port, "port", defaultPort, "")
	if err := flags.Parse(args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, usageError{err}
	}
	// Make the paths absolute, because the node has a different working directory.
	for _, path := range []*string{&o.controlPlane, &o.node, &o.sandboxArchive} {
		if *path == "" {
			continue
		}
		absolute, err := filepath.Abs(*path)
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", *path, err)
		}
		*path = absolute
	}
	return flags.Args(), nil
}

// arguments returns the flags that produce these options.
func (o *options) arguments() []string {
	return []string{
		"--control-plane=" + o.controlPlane, "--node=" + o.node,
		"--sandbox-image=" + o.sandboxImage, "--sandbox-archive=" + o.sandboxArchive, fmt.Sprintf("--port=%d", o.port),
	}
}
