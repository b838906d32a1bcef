//go:build reliability

package faults_test

import (
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// TestOneFaultAtATime runs the scenarios with one fault at a chosen moment. Scenarios that do not
// affect each other run in parallel.
func TestOneFaultAtATime(t *testing.T) {
	t.Parallel()
	s := newSite(t)
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
