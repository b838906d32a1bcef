//go:build reliability

// Package faults_test runs the operator in processes of its own, against a real API server and
// the simulator of WorkOS, and injects faults: it kills and stops processes at any point, breaks
// network connections, stops the API server, and makes WorkOS return every kind of wrong answer.
// It records every version of every stored object, and checks the versions afterwards.
package faults_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pipes-operator/pipes-operator/test/harness"
)

// operatorBinary is the path of the operator, built with the race detector.
var operatorBinary string

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctrl.SetLogger(logr.Discard()) // the log of the tests' own clients is not needed
	directory, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	if operatorBinary, err = harness.BuildOperator(directory, true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
