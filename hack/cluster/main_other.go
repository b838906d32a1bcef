//go:build !linux

// Command cluster runs a Kubernetes cluster with one node on this machine. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "cluster: this takes Linux: "+
		"point KUBECONFIG at another cluster, such as one of kind, and leave this out")
	os.Exit(1)
}
