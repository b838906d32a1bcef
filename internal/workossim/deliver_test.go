package workossim_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

func TestATruncatedBodyIsShorterThanAnnounced(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	whole := h.call(alice)
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultTruncatedJSON})
	got := h.call(alice)
	if got.Status != 200 || !errors.Is(got.BodyErr, io.ErrUnexpectedEOF) {
		t.Errorf("got %d, %v", got.Status, got.BodyErr)
	}
	if announced := got.Header.Get("Content-Length"); announced != whole.Header.Get("Content-Length") || got.Body != whole.Body[:len(whole.Body)/2] {
		t.Errorf("got %s of %s bytes", got.Body, announced)
	}
}

func TestAResetConnectionIsReset(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultReset})
	_, err := h.try(h.request(alice))
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a connection reset", err)
	}
	h.wantResults("connection_reset")
	if got := h.sim.Requests()[0].Status; got != 0 {
		t.Errorf("recorded status %d", got)
	}
}

func TestOverTLSAndHTTP2(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		clock := clocktesting.NewFakePassiveClock(start)
		sim := workossim.New(workossim.Options{Clock: clock, APIKeys: []string{apiKey}, Connections: []workossim.Connection{{ID: alice}}})
		server := httptest.NewUnstartedServer(sim)
		server.EnableHTTP2 = http2
		server.StartTLS()
		t.Cleanup(server.Close)
		t.Cleanup(sim.Close)
		h := &harness{T: t, sim: sim, clock: clock, server: server}
		h.token(alice)
		wantProto := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]
		if got := sim.Requests()[0].Proto; got != wantProto {
			t.Errorf("recorded %s, want %s", got, wantProto)
		}
		sim.Inject(workossim.Fault{Kind: workossim.FaultReset, Times: 1})
		if got, err := h.try(h.request(alice)); err == nil {
			t.Errorf("%s: got %d in spite of a reset", wantProto, got.Status)
		}
		sim.Inject(workossim.Fault{Kind: workossim.FaultTruncatedJSON, Times: 1})
		if got := h.call(alice); got.BodyErr == nil {
			t.Errorf("%s: got %q in spite of truncation", wantProto, got.Body)
		}
		sim.Inject(workossim.Fault{Kind: workossim.FaultEndlessBody, Times: 1})
		h.readEndlessly(alice)
		h.token(alice)
	}
}

// readEndlessly reads more of an endless body than any caller should.
func (h *harness) readEndlessly(id workossim.ID) {
	h.Helper()
	response, err := h.server.Client().Do(h.request(id))
	if err != nil {
		h.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	beginning := make([]byte, 2<<20)
	if _, err := io.ReadFull(response.Body, beginning); err != nil {
		h.Errorf("%s: the endless body ended: %v", response.Proto, err)
	}
	if !bytes.HasPrefix(beginning, []byte(`{"active":true,"x_padding":"aaaa`)) {
		h.Errorf("%s: the endless body begins with %s", response.Proto, beginning[:50])
	}
	if response.ContentLength != -1 || response.StatusCode != http.StatusOK {
		h.Errorf("%s: got %d, %d bytes announced", response.Proto, response.StatusCode, response.ContentLength)
	}
}

// watched returns a simulator, and a channel that reports when its handler is done with a
// request.
func watched(t *testing.T) (h *harness, done <-chan error) {
	t.Helper()
	clock := clocktesting.NewFakePassiveClock(start)
	sim := workossim.New(workossim.Options{Clock: clock, APIKeys: []string{apiKey}, Connections: []workossim.Connection{{ID: alice}}})
	returned := make(chan error, 10)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			err, _ := recover().(error)
			returned <- err
			if err != nil {
				panic(err)
			}
		}()
		sim.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return &harness{T: t, sim: sim, clock: clock, server: server}, returned
}

// slowFaults are the faults whose answers take for ever.
var slowFaults = map[string]workossim.Fault{
	"timeout":      {Kind: workossim.FaultTimeout},
	"endless body": {Kind: workossim.FaultEndlessBody},
	"latency":      {Kind: workossim.FaultLatency, Latency: time.Hour},
	"hold":         {Kind: workossim.FaultLatency, Hold: make(chan struct{})},
}

// send makes a call in the background. It reads only the first byte of the body, and ends with
// ctx.
func (h *harness) send(ctx context.Context, id workossim.ID) (ended <-chan struct{}) {
	end := make(chan struct{})
	go func() {
		defer close(end)
		response, err := h.server.Client().Do(h.request(id).WithContext(ctx))
		if err != nil {
			return
		}
		defer func() { _ = response.Body.Close() }()
		_, _ = io.ReadFull(response.Body, make([]byte, 1))
		<-ctx.Done() // meanwhile the server's writes block
	}()
	return end
}

// arrival waits until the simulator has recorded a request.
func (h *harness) arrival() {
	for len(h.sim.Requests()) == 0 {
		runtime.Gosched()
	}
}

func TestSlowAnswersEndWhenTheCallerGoes(t *testing.T) {
	for name, fault := range slowFaults {
		t.Run(name, func(t *testing.T) {
			h, done := watched(t)
			h.sim.Inject(fault)
			ctx, hangUp := context.WithCancel(t.Context())
			ended := h.send(ctx, alice)
			h.arrival()
			hangUp()
			<-ended
			if got := <-done; !errors.Is(got, http.ErrAbortHandler) {
				t.Errorf("the handler ended in %v", got)
			}
		})
	}
}

func TestSlowAnswersEndWhenTheSimulatorCloses(t *testing.T) {
	for name, fault := range slowFaults {
		t.Run(name, func(t *testing.T) {
			h, done := watched(t)
			h.sim.Inject(fault)
			ctx, hangUp := context.WithCancel(t.Context())
			ended := h.send(ctx, alice)
			h.arrival()
			h.sim.Close()
			if got := <-done; !errors.Is(got, http.ErrAbortHandler) {
				t.Errorf("the handler ended in %v", got)
			}
			hangUp()
			<-ended
			h.sim.Close() // a second Close is allowed
			h.sim.ClearFaults()
			h.token(alice)
		})
	}
}

func TestAnOlderAnswerCanArriveAfterANewerOne(t *testing.T) {
	h := newHarness(t, workossim.Connection{ID: alice, AlwaysFresh: true})
	release := make(chan struct{})
	h.sim.Inject(workossim.Fault{Kind: workossim.FaultLatency, Hold: release, Times: 1})
	older := make(chan string, 1)
	go func() {
		got, err := h.try(h.request(alice))
		older <- fmt.Sprint(got.Body, err)
	}()
	h.arrival()
	newer, _ := h.token(alice)
	close(release)
	if late := <-older; !strings.Contains(late, "_github_2_") || !strings.Contains(newer, "_github_3_") {
		t.Errorf("got %s late and %s before it", late, newer)
	}
}
