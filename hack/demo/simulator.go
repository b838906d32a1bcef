package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// simulator is the client of the control API of the simulated WorkOS, which is a separate
// program.
type simulator struct {
	address string
}

// startSimulator starts the simulator and waits until it listens. The simulator chooses a free
// port itself.
func (d *demo) startSimulator(ctx context.Context) error {
	if err := d.space.writeSample("simulator.yaml", simulatorAddress); err != nil {
		return err
	}
	addressFile := d.space.path("simulator.address")
	p, err := d.start("workos-simulator", d.built("workos-simulator"), nil,
		"--listen=127.0.0.1:0", "--address-file="+addressFile, "--seed="+d.space.path("simulator.yaml"))
	if err != nil {
		return err
	}
	return p.WaitUntil(ctx, time.Minute, func(context.Context) error {
		address, err := os.ReadFile(addressFile) // the simulator writes this file atomically
		d.simulator.address = strings.TrimSpace(string(address))
		return err
	})
}

// control returns the URL of the control API.
func (s *simulator) control() string {
	return "http://" + s.address + strings.TrimSuffix(workossim.ControlPrefix, "/")
}

// connection is a connection in the control API.
type connection struct {
	workossim.ID
	State       workossim.State `json:"state"`
	TokenSerial int             `json:"tokenSerial"`
	ExpiresAt   time.Time       `json:"expiresAt"`
}

func (s *simulator) connections(ctx context.Context) ([]connection, error) {
	var answer struct {
		Connections []connection `json:"connections"`
	}
	err := s.do(ctx, http.MethodGet, "connections", "", &answer)
	return answer.Connections, err
}

// requests returns all requests that the simulator has received, oldest first.
func (s *simulator) requests(ctx context.Context) ([]workossim.Request, error) {
	var answer struct {
		Requests []workossim.Request `json:"requests"`
	}
	err := s.do(ctx, http.MethodGet, "requests", "", &answer)
	return answer.Requests, err
}

// do calls the control API, and decodes the response into an object if one is given.
func (s *simulator) do(ctx context.Context, method, endpoint, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, s.control()+"/"+endpoint, strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	answer, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return fmt.Errorf("asking the simulator: %w", err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("the simulator answers %s: %s", response.Status, bytes.TrimSpace(answer))
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(answer, into); err != nil {
		return fmt.Errorf("reading the simulator's answer: %w", err)
	}
	return nil
}
