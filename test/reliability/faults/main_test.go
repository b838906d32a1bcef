//go:build reliability

// Package faults_test runs the operator in processes of its own, against a real API server and
// the simulator of WorkOS, and injects faults: it kills and stops processes at any point, breaks
// network connections, stops the API server, and makes WorkOS return every kind of wrong answer.
// It records every version of every stored object, and checks the versions afterwards.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"
)

// operatorBinary is the path of the operator, built with the race detector.
var operatorBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // the log of the tests' own clients is not needed
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "no control plane to test against: set KUBEBUILDER_ASSETS to what `make controlplane` prints")
		return 1
	}
	directory, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	operatorBinary = filepath.Join(directory, "pipes-operator")
	build := exec.Command("go", "build", "-race", "-o", operatorBinary, "../../../cmd/pipes-operator")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the operator: %v\n%s", err, output)
		return 1
	}
	return m.Run()
}
