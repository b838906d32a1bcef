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
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

const usage = `A Kubernetes cluster of one node on this machine. Run it with: make cluster-up, make cluster-down

  cluster check [FLAGS]   reports whether a cluster could start
  cluster up [FLAGS]      starts a cluster, unless there is one, and prints its kubeconfig
  cluster down            stops the cluster, and removes everything that is left of it
  cluster load FILE...    imports images, as docker-archive tarballs
  cluster kubeconfig      prints the path of the kubeconfig of the running cluster
`

// options are the values of the flags. All paths are absolute.
type options struct {
	place          place
	controlPlane   string
	node           string
	sandboxImage   string
	sandboxArchive string
	port           int
	arguments      []string // after the command
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	commands := map[string]func(context.Context, options, []string) error{
		"check": check, "up": up, "down": down, "load": load, "kubeconfig": printKubeconfig,
		initCommand: superviseNode, nodeCommand: runNode,
	}
	flags := flag.NewFlagSet("cluster", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage, "\nFlags:\n")
		flags.PrintDefaults()
	}
	if len(args) == 0 || commands[args[0]] == nil {
		flags.Usage()
		return fmt.Errorf("%q: no such command", args)
	}
	o := options{place: defaultPlace, arguments: args[1:]}
	flags.StringVar(&o.controlPlane, "control-plane", "", "the directory of etcd, kube-apiserver and kubectl")
	flags.StringVar(&o.node, "node", "", "the directory of the other programs of a node")
	flags.StringVar(&o.sandboxImage, "sandbox-image", "", "the image of process 1 of each pod")
	flags.StringVar(&o.sandboxArchive, "sandbox-archive", "", "a docker-archive with that image")
	flags.IntVar(&o.port, "port", 6443, "the port of the API server on 127.0.0.1")
	_ = flags.Parse(o.arguments) // it exits after an error
	return commands[args[0]](ctx, o, flags.Args())
}
