package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	slug   = "github"
	apiKey = "sk_bench_canary"
)

// simulator is the client of the control API of the simulated WorkOS, which is a separate
// program. All users are connected in it.
type simulator struct {
	process *process.Process
	address string
}

// startSimulator starts a simulator that returns the next token early, before the current token
// expires.
func (b *bench) startSimulator(ctx context.Context, name string, early lead) (*simulator, error) {
	everyone := map[string]any{
		"slug":        slug,
		"lifetime":    b.Lifetime.String(),
		"scopes":      []string{"repo", "read:user"},
		"tokenPrefix": "gho_",
	}
	if early.always {
		everyone["alwaysFresh"] = true
	} else {
		everyone["refreshLead"] = early.String()
	}
	seed, err := yaml.Marshal(map[string]any{"apiKeys": []string{apiKey}, "everyone": []any{everyone}})
	if err != nil {
		return nil, fmt.Errorf("writing the simulator's seed: %w", err)
	}
	seedFile, addressFile := filepath.Join(b.work, name+".seed.yaml"), filepath.Join(b.work, name+".address")
	if err := os.WriteFile(seedFile, seed, 0o600); err != nil {
		return nil, fmt.Errorf("writing the simulator's seed: %w", err)
	}
	p, err := b.start(ctx, name+"-simulator", "workos-simulator",
		"--listen=127.0.0.1:0", "--address-file="+addressFile, "--seed="+seedFile)
	if err != nil {
		return nil, err
	}
	s := &simulator{process: p}
	if err := p.WaitUntil(ctx, time.Minute, func(context.Context) error {
		address, err := os.ReadFile(addressFile) // the simulator writes this file atomically
		s.address = strings.TrimSpace(string(address))
		return err
	}); err != nil {
		return nil, err
	}
	return s, s.slow(ctx, b.Latency.Duration)
}

func (s *simulator) url() string { return "http://" + s.address }

// inject injects a fault, with the fields of the control API.
func (s *simulator) inject(ctx context.Context, fault map[string]any) error {
	body, err := json.Marshal(fault)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	_, err = s.do(ctx, http.MethodPost, "faults", body)
	return err
}

// behave removes all faults, and sets the latency of the parameters again.
func (s *simulator) behave(ctx context.Context, latency time.Duration) error {
	if _, err := s.do(ctx, http.MethodDelete, "faults", nil); err != nil {
		return err
	}
	return s.slow(ctx, latency)
}

// slow delays all responses by the latency.
func (s *simulator) slow(ctx context.Context, latency time.Duration) error {
	if latency == 0 {
		return nil
	}
	return s.inject(ctx, map[string]any{"kind": workossim.FaultLatency, "latency": latency.String()})
}

// total returns the number of calls that the simulator has received.
func (s *simulator) total(ctx context.Context) (int, error) {
	answer, err := s.do(ctx, http.MethodGet, "total", nil)
	if err != nil {
		return 0, err
	}
	var decoded struct {
		Total int `json:"total"`
	}
	if err := json.Unmarshal(answer, &decoded); err != nil {
		return 0, fmt.Errorf("reading the simulator's answer: %w", err)
	}
	return decoded.Total, nil
}

// call is a call that the simulator has received.
type call struct {
	at     time.Time
	object int // number of the PipesToken
	// serial counts the tokens of an object from 1. It is 0 if the response had no token.
	serial  int
	expires time.Time
}

// calls returns all calls that the simulator has received, oldest first.
func (s *simulator) calls(ctx context.Context) ([]call, error) {
	answer, err := s.do(ctx, http.MethodGet, "journal", nil)
	if err != nil {
		return nil, err
	}
	return parseJournal(bytes.NewReader(answer))
}

// parseJournal parses the simulator's response to GET journal.
func parseJournal(text io.Reader) ([]call, error) {
	const at, user, serial, expires, columns = 0, 2, 6, 7, 8
	lines := csv.NewReader(text)
	lines.FieldsPerRecord, lines.ReuseRecord = columns, true
	if _, err := lines.Read(); err != nil { // header
		return nil, fmt.Errorf("reading the simulator's journal: %w", err)
	}
	var calls []call
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return calls, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading the simulator's journal: %w", err)
		}
		c := call{}
		var errs [4]error
		c.at, errs[0] = time.Parse(time.RFC3339Nano, record[at])
		c.object, errs[1] = objectOfUser(record[user])
		c.serial, errs[2] = strconv.Atoi(record[serial])
		if record[expires] != "" {
			c.expires, errs[3] = time.Parse(time.RFC3339Nano, record[expires])
		}
		if err := errors.Join(errs[:]...); err != nil {
			return nil, fmt.Errorf("reading the simulator's journal: %w", err)
		}
		calls = append(calls, c)
	}
}

// do calls the control API.
func (s *simulator) do(ctx context.Context, method, endpoint string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method,
		s.url()+workossim.ControlPrefix+endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the simulator: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the simulator: %w", err)
	}
	answer, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return nil, fmt.Errorf("asking the simulator: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("the simulator answers %s: %s", response.Status, bytes.TrimSpace(answer))
	}
	return answer, nil
}
