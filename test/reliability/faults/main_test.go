//go:build reliability

// Package faults_test runs the operator in processes of its own, against a real API server and
// the simulator of WorkOS, and injects faults: it kills and stops processes at any point, breaks
// network connections, stops the API server, and makes WorkOS return every kind of wrong answer.
// It records every version of every stored object, and checks the versions afterwards.
package faults_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/pipes-operator/pipes-operator/test/harness"
	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
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
	if operatorBinary, err = harness.BuildOperator(context.Background(), directory, true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// TestOneFaultAtATime runs the scenarios with one fault at a chosen moment. Scenarios that do not
// affect each other run in parallel.
func TestOneFaultAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// A scenario knows each of its calls. The call because of an event would come at any moment
	// within a poll interval. The storm has events.
	s.upstream.LoseEvents(math.MaxInt)
	var working sync.WaitGroup
	for name, scenario := range map[string]func(*testing.T, *site){
		"the operator crashes":          testCrashes,
		"the leader becomes a zombie":   testZombies,
		"something is wrong in between": testObstructions,
	} {
		working.Go(func() { t.Run(name, func(t *testing.T) { scenario(t, s) }) })
	}
	working.Wait()
	t.Run("the API server goes away", func(t *testing.T) { testAPIServer(t, s) })
	v := s.judgeStored(t, s.strange, s.upstream.Requests(), time.Now())
	keep(t,
		figures.Figure{Name: "crash points tried", Value: strconv.FormatInt(crashes.Load(), 10)},
		figures.Figure{Name: "crash points after which the end was another than without a crash", Value: strconv.FormatInt(badCrashes.Load(), 10), Promise: "0"},
		figures.Figure{Name: "single faults: wrong tokens", Value: strconv.Itoa(v.wrong), Promise: "0"},
		figures.Figure{Name: "single faults: Secrets of others touched", Value: strconv.Itoa(v.touched), Promise: "0"},
		figures.Figure{Name: "single faults: statuses that claim what is not so", Value: strconv.Itoa(v.unfounded), Promise: "0"},
		figures.Figure{Name: "single faults: tokens and API keys found where none belongs", Value: strconv.Itoa(v.leaked), Promise: "0"},
	)
}

const (
	v1alpha1Group = "pipes.workos.com"
	// apiKey contains the same word as all tokens of the simulator: "canary". Where the word is
	// found outside of the data of a Secret, a secret has leaked.
	apiKey         = "sk_test_canary_first"
	keySecret      = "workos-api-key"
	keyEntry       = "api-key"
	strangers      = "stranger" // the owner of everything that is not ours
	strangeKey     = "theirs"
	strangersValue = "canary_of_a_stranger"
)

// site is a control plane and a WorkOS. Scenarios add replicas to it.
type site struct {
	plane         *controlPlane
	upstream      *upstream
	operatorToken string
	// history contains every version of everything that was stored.
	history *history

	mu sync.Mutex
	// replicas are all replicas so far. strange are the names of the strangers' Secrets.
	replicas []*replica
	strange  []string
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{plane: startControlPlane(t), upstream: newUpstream(t)}
	var err error
	if s.operatorToken, err = s.plane.OperatorToken(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.history = keepHistory(t, s.plane.etcd)
	return s
}
