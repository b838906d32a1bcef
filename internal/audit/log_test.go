package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"go.uber.org/goleak"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/audit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// target is a writer that a test controls.
type target struct {
	mu      sync.Mutex
	written bytes.Buffer
	calls   int
	write   func(to *bytes.Buffer, lines []byte) (int, error) // nil: write all
}

func (w *target) Write(lines []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls++
	if w.write == nil {
		return w.written.Write(lines)
	}
	return w.write(&w.written, lines)
}

// tally counts lines.
type tally struct{ written, lost atomic.Int64 }

func (c *tally) count(written, lost int) { c.written.Add(int64(written)); c.lost.Add(int64(lost)) }

func (c *tally) expect(t *testing.T, written, lost int64) {
	t.Helper()
	if c.written.Load() != written || c.lost.Load() != lost {
		t.Errorf("%d lines are written and %d lost, want %d and %d", c.written.Load(), c.lost.Load(), written, lost)
	}
}

func start(to io.Writer, counted *tally, logger logr.Logger) (*audit.Log, *testingclock.FakePassiveClock) {
	clock := testingclock.NewFakePassiveClock(noon)
	return audit.Start(audit.Options{To: to, Counted: counted.count, Logger: logger, Clock: clock}), clock
}

func end(t *testing.T, log *audit.Log) {
	t.Helper()
	if err := log.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func line(n int) audit.Line {
	return audit.Line{Time: noon, Namespace: "agents", Name: fmt.Sprintf("n-%d", n), Decision: audit.Granted}
}

// namesIn returns the names of the lines that can be read.
func namesIn(text string) (names []string) {
	for each := range strings.Lines(text) {
		read := audit.Line{}
		if strings.HasSuffix(each, "\n") && json.Unmarshal([]byte(each), &read) == nil {
			names = append(names, read.Name)
		}
	}
	return names
}

func TestALineHasAllFieldsInOneLineOfJSON(t *testing.T) {
	to, counted := &target{}, &tally{}
	log, _ := start(to, counted, logr.Discard())
	log.Record(audit.Line{
		Time: noon, Namespace: "agents", Name: "alice", UID: "uid", Slug: "github", UserID: "user\n1", OrganizationID: "org_1",
		ConnectionOwner: "User", Environment: "pipes-system/default", Decision: audit.Refused, Reason: "NotInstalled", RequestID: "req_1",
	})
	end(t, log)
	want := `{"time":"2026-11-23T12:00:00Z","namespace":"agents","name":"alice","uid":"uid","slug":"github","userID":"user\n1",` +
		`"organizationID":"org_1","connectionOwner":"User","environment":"pipes-system/default","decision":"refused",` +
		`"reason":"NotInstalled","requestID":"req_1"}` + "\n"
	if to.written.String() != want {
		t.Errorf("got %s", to.written.String())
	}
	counted.expect(t, 1, 0)
}

func TestANilLogRecordsNothing(t *testing.T) {
	var log *audit.Log
	log.Record(line(1))
	end(t, log)
}

// The end of the log writes all that was recorded before, in order.
func TestCloseWritesTheRest(t *testing.T) {
	held := make(chan struct{})
	to, counted := &target{}, &tally{}
	to.write = func(written *bytes.Buffer, lines []byte) (int, error) { <-held; return written.Write(lines) }
	log, _ := start(to, counted, logr.Discard())
	var want []string
	for n := range 1000 {
		log.Record(line(n))
		want = append(want, line(n).Name)
	}
	close(held)
	end(t, log)
	end(t, log) // a second time changes nothing
	if got := namesIn(to.written.String()); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %d lines: %v", len(got), got)
	}
	if to.calls > 10 {
		t.Errorf("%d writes for 1,000 lines", to.calls)
	}
	counted.expect(t, 1000, 0)
}

// Each recorder has its own object: its lines are written in its order.
func TestLinesOfOneRecorderKeepTheirOrder(t *testing.T) {
	to, counted := &target{}, &tally{}
	log, _ := start(to, counted, logr.Discard())
	var recorders sync.WaitGroup
	for recorder := range 8 {
		recorders.Go(func() {
			for n := range 100 {
				log.Record(audit.Line{Namespace: fmt.Sprint(recorder), Name: fmt.Sprint(n)})
			}
		})
	}
	recorders.Wait()
	end(t, log)
	next := map[string]int{}
	for each := range strings.Lines(to.written.String()) {
		read := audit.Line{}
		if err := json.Unmarshal([]byte(each), &read); err != nil {
			t.Fatal(err)
		}
		if read.Name != fmt.Sprint(next[read.Namespace]) {
			t.Fatalf("recorder %s: got %s, want %d", read.Namespace, read.Name, next[read.Namespace])
		}
		next[read.Namespace]++
	}
	counted.expect(t, 800, 0)
}

// A pipe that nobody reads blocks the writer. Nobody waits for it: neither a reconcile nor the end
// of the process.
func TestABlockedTargetDelaysNobody(t *testing.T) {
	reader, writer := io.Pipe()
	counted := &tally{}
	log, _ := start(writer, counted, logr.Discard())
	const all = 10_000
	for n := range all { // this would not end if Record waited
		log.Record(line(n))
	}
	if counted.written.Load() != 0 || counted.lost.Load() < all/2 {
		t.Errorf("%d lines are written and %d lost", counted.written.Load(), counted.lost.Load())
	}
	lost := counted.lost.Load()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := log.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	end(t, log)
	_ = reader.Close()
	counted.expect(t, all-lost, lost)
}

// The lines that were lost while the target was blocked are told when it works again.
func TestLinesThatAreLostToASlowTargetAreTold(t *testing.T) {
	var said []string
	logger := funcr.New(func(_, text string) { said = append(said, text) }, funcr.Options{})
	reader, writer := io.Pipe()
	log, _ := start(writer, &tally{}, logger)
	for n := range 10_000 {
		log.Record(line(n))
	}
	go func() { _, _ = io.Copy(io.Discard, reader) }()
	end(t, log)
	_ = reader.Close()
	if len(said) != 1 || !strings.Contains(said[0], "too slow") {
		t.Errorf("said %v", said)
	}
}

// sequentially records lines one by one, each in a write of its own.
func sequentially(t *testing.T, log *audit.Log, counted *tally, lines int) {
	t.Helper()
	for range lines {
		before := counted.written.Load() + counted.lost.Load()
		log.Record(line(int(before)))
		deadline := time.Now().Add(10 * time.Second)
		for counted.written.Load()+counted.lost.Load() == before {
			if time.Now().After(deadline) {
				t.Fatal("the line is neither written nor lost")
			}
		}
	}
}

func TestAFailingTargetIsToldOnceAMinute(t *testing.T) {
	var mu sync.Mutex
	var said []string
	logger := funcr.New(func(_, text string) { mu.Lock(); said = append(said, text); mu.Unlock() }, funcr.Options{})
	to, counted := &target{}, &tally{}
	to.write = func(*bytes.Buffer, []byte) (int, error) { return 0, errors.New("no space left on device") }
	log, clock := start(to, counted, logger)
	sequentially(t, log, counted, 10)
	clock.SetTime(noon.Add(59 * time.Second))
	sequentially(t, log, counted, 10)
	clock.SetTime(noon.Add(time.Minute))
	sequentially(t, log, counted, 10)
	end(t, log)
	if len(said) != 2 || !strings.Contains(said[0], "no space left on device") || strings.Contains(said[0], "agents") {
		t.Errorf("said %v", said)
	}
	counted.expect(t, 0, 30)
}

// A full disk takes a part of a line. The line is lost, and the next one begins a new line.
func TestAPartOfALineIsLost(t *testing.T) {
	to, counted := &target{}, &tally{}
	room := 0
	to.write = func(written *bytes.Buffer, lines []byte) (int, error) {
		if n := min(len(lines), room); n < len(lines) {
			_, _ = written.Write(lines[:n])
			return n, errors.New("no space left on device")
		}
		return written.Write(lines)
	}
	log, _ := start(to, counted, logr.Discard())
	for _, room = range []int{1 << 20, 20, 0, 1, 20, 1 << 20, 1 << 20} {
		sequentially(t, log, counted, 1)
	}
	end(t, log)
	if got := namesIn(to.written.String()); fmt.Sprint(got) != "[n-0 n-5 n-6]" {
		t.Errorf("got %v in %q", got, to.written.String())
	}
	counted.expect(t, 3, 4)
}

// A writer that breaks its contract and reports no error loses lines, too.
func TestAShortWriteIsALoss(t *testing.T) {
	to, counted := &target{}, &tally{}
	to.write = func(*bytes.Buffer, []byte) (int, error) { return 3, nil }
	log, _ := start(to, counted, logr.Discard())
	sequentially(t, log, counted, 2)
	end(t, log)
	counted.expect(t, 0, 2)
}
