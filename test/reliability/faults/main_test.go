//go:build reliability

// Package faults_test runs the operator as processes of their own against a real API server and the simulator of WorkOS, and
// breaks everything in between: processes are killed and stopped at any point, networks lose what they carry, the API server
// goes away, and WorkOS answers in every wrong way. Beside them an observer keeps every version of everything that was stored.
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

// operatorBinary is the operator, built with the race detector.
var operatorBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // what clients of the tests have to say is of no interest
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
