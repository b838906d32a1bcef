package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// parameters are the settings of a run.
type parameters struct {
	// Objects is the number of PipesTokens.
	Objects int `json:"objects"`
	// Lifetime is the lifetime of each token. Lead is how long before expiry the upstream
	// returns the next token. Latency is how long the upstream takes to answer.
	Lifetime duration `json:"lifetime"`
	Lead     lead     `json:"lead"`
	Latency  duration `json:"latency"`
	// Workers is the operator's --max-concurrent-reconciles, and the parallelism of the floor.
	Workers int `json:"workers"`
	// Lifetimes is how many token lifetimes the rotation scenario lasts.
	Lifetimes int `json:"lifetimes"`
	// Budget is the requests per minute of the scenario budget.
	Budget int `json:"budget"`
	// Scenarios are names of scenarios, in any order. A scenario is measured as often as its
	// name occurs.
	Scenarios []string `json:"scenarios"`

	out string // directory for the results
}

// lead is how long before expiry the upstream returns the next token. always means on every
// call.
type lead struct {
	duration
	always bool
}

// String returns the lead in the format of the flag.
func (l lead) String() string {
	if l.always {
		return "always"
	}
	return l.duration.String()
}

// MarshalJSON implements json.Marshaler.
func (l lead) MarshalJSON() ([]byte, error) { return json.Marshal(l.String()) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *lead) UnmarshalText(text []byte) error {
	if l.always = string(text) == "always"; l.always {
		l.Duration = 0
		return nil
	}
	return l.duration.UnmarshalText(text)
}

// duration is a time.Duration that is text in JSON.
type duration struct{ time.Duration }

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *duration) UnmarshalText(text []byte) (err error) {
	d.Duration, err = time.ParseDuration(string(text))
	return err
}

func parseParameters(args []string, stdout io.Writer) (parameters, error) {
	var p parameters
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&p.Objects, "n", 1000, "How many PipesTokens there are.")
	flags.DurationVar(&p.Lifetime.Duration, "lifetime", 10*time.Minute, "How long each token lives.")
	p.Lead.Duration = time.Minute
	flags.Func("lead", "How long before the expiry of a token the upstream hands out the next one; "+
		"always: with every call. (default 1m0s)",
		func(text string) error { return p.Lead.UnmarshalText([]byte(text)) })
	flags.DurationVar(&p.Latency.Duration, "latency", 0, "How long the upstream takes to answer.")
	flags.IntVar(&p.Workers, "workers", 20,
		"The operator's --max-concurrent-reconciles; the floor works on as many objects at once.")
	flags.IntVar(&p.Lifetimes, "lifetimes", 2, "For how many lifetimes rotation is watched.")
	flags.IntVar(&p.Budget, "budget", 6000, "The requestsPerMinute of the scenario budget.")
	scenarios := flags.String("scenarios", strings.Join(scenarioNames(), ","),
		"What to measure. A name that is given several times is measured as often, but for cold.")
	flags.StringVar(&p.out, "out", "", "The directory for the results. Empty: a new temporary one.")
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		flags.SetOutput(stdout)
		flags.PrintDefaults()
	}
	if err != nil {
		return p, err
	}
	p.Scenarios = slices.DeleteFunc(strings.Split(strings.ReplaceAll(*scenarios, " ", ""), ","),
		func(s string) bool { return s == "" })
	if flags.NArg() > 0 {
		return p, fmt.Errorf("unexpected argument %q: all options are flags", flags.Arg(0))
	}
	return p, p.validate()
}

func (p parameters) validate() error {
	var errs []error
	for name, value := range map[string]int{
		"n": p.Objects, "workers": p.Workers, "lifetimes": p.Lifetimes, "budget": p.Budget,
	} {
		if value < 1 {
			errs = append(errs, fmt.Errorf("--%s: %d is too few, it takes at least 1", name, value))
		}
	}
	switch {
	case p.Lifetime.Duration < 20*time.Second:
		errs = append(errs, fmt.Errorf("--lifetime: %s is too short to be renewed in: use 20s or more", p.Lifetime))
	case p.Lead.Duration < 0 || p.Lead.Duration >= p.Lifetime.Duration:
		errs = append(errs, fmt.Errorf("--lead: %s is not within the lifetime of %s", p.Lead, p.Lifetime))
	}
	if p.Latency.Duration < 0 {
		errs = append(errs, fmt.Errorf("--latency: %s is negative", p.Latency))
	}
	for _, name := range p.Scenarios {
		if !slices.Contains(scenarioNames(), name) {
			errs = append(errs, fmt.Errorf("--scenarios: there is no %q: use some of %s",
				name, strings.Join(scenarioNames(), ",")))
		}
	}
	if p.times("cold") > 1 {
		errs = append(errs, errors.New("--scenarios: cold is the beginning of a run and there is one of it: "+
			"for more, run make bench again"))
	}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		assets := os.Getenv("KUBEBUILDER_ASSETS")
		if _, err := os.Stat(filepath.Join(assets, name)); err != nil || assets == "" {
			errs = append(errs, fmt.Errorf("KUBEBUILDER_ASSETS: there is no %s in %q: run make bench, which gets it first",
				name, assets))
		}
	}
	return errors.Join(errs...)
}

func (p parameters) wants(scenario string) bool { return slices.Contains(p.Scenarios, scenario) }

// times returns how often the scenario was requested.
func (p parameters) times(scenario string) int {
	times := 0
	for _, name := range p.Scenarios {
		if name == scenario {
			times++
		}
	}
	return times
}

// patience is how long the work on all objects may take. If it takes longer, something is wrong.
func (p parameters) patience() time.Duration {
	return 2*time.Minute + time.Duration(p.Objects)*(100*time.Millisecond+p.Latency.Duration/time.Duration(p.Workers))
}
