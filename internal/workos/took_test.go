package workos_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// slowBody is a body that takes a while to read.
type slowBody struct {
	io.Reader
	read func()
}

func (b slowBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.read()
	}
	return n, err
}

// The time of a call ends with the last byte of the response, or with the failure.
func TestAnAnswerTellsHowLongTheCallTook(t *testing.T) {
	clock, fail := steppedClock(), false
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		step(clock, 2*time.Second)
		if fail {
			return nil, errors.New("connection refused")
		}
		response := respond(200, goodBody)
		response.Body = io.NopCloser(slowBody{response.Body, func() { step(clock, time.Second) }})
		return response, nil
	})
	client := connectOnly(t, workos.Options{Transport: transport, Clock: clock}, baseURL)
	x, y := workos.Turn{Share: "a", Asker: "x"}, workos.Turn{Share: "a", Asker: "y"}
	if took := askAs(t, client, alice, x).Took; took != 3*time.Second {
		t.Errorf("took %v, want 3s", took)
	}
	if shared := askAs(t, client, alice, y); !shared.Sent || shared.Took != 0 {
		t.Errorf("the answer to an earlier caller took %v", shared.Took)
	}
	if held := askAs(t, client, alice, x); held.Sent || held.Took != 0 {
		t.Errorf("a call that was not sent took %v", held.Took)
	}
	fail = true
	if failed := ask(t, client, user(1)); failed.Outcome != workos.OutcomeUnavailable || failed.Took != 2*time.Second {
		t.Errorf("a failed call: %s, took %v", failed.Outcome, failed.Took)
	}
}
