//go:build linux

// Command cluster runs a Kubernetes cluster of one node on this machine: etcd, the whole control plane, a kubelet and
// containerd, as a user's cluster has them, for tests that need pods. `make cluster-up` and `make cluster-down` run it.
//
// The cluster lives in namespaces of its own (network, mount, PID, IPC and UTS), like a container. It has no route to
// anywhere; the machine reaches its API server on a port of 127.0.0.1, and nothing else of it. When its process 1 ends,
// however it ends, the kernel ends every process in it and takes its mounts and interfaces away. What is left then, its
// cgroups and one directory, `cluster down` removes.
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
	// The kernel ends what was started by a thread that ends: all is started by this one, which lasts. See process.Start.
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

// options are what the flags say.
type options struct {
	place          place
	controlPlane   string
	node           string
	sandboxImage   string
	sandboxArchive string
	port           int
}

// defaultPort is the one that API servers usually have.
const defaultPort = 6443

// parse reads the flags after the command, and gives the arguments after them.
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
	// The node has another working directory.
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

// arguments are the flags that make these options.
func (o *options) arguments() []string {
	return []string{
		"--control-plane=" + o.controlPlane, "--node=" + o.node,
		"--sandbox-image=" + o.sandboxImage, "--sandbox-archive=" + o.sandboxArchive, fmt.Sprintf("--port=%d", o.port),
	}
}
