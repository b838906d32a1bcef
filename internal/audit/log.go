package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/utils/clock"
)

const (
	// mostWaiting limits the lines that wait to be written. At about a kilobyte each they take a
	// few MiB at most.
	mostWaiting = 4096
	// mostInBatch limits the lines of one write.
	mostInBatch = 256
	// complainEvery is the least time between two errors in the log of the operator.
	complainEvery = time.Minute
)

// errBehind: lines were lost because the target was too slow.
var errBehind = errors.New("the target of the audit log is too slow")

// Options are the settings of a Log.
type Options struct {
	// To is the target. Each call of Write has one or more complete lines. Only one call is made
	// at a time.
	To io.Writer
	// Counted is called with the number of lines that were written or lost. Nil: nobody counts.
	Counted func(written, lost int)
	// Logger tells that lines are lost, at most once a minute.
	Logger logr.Logger
	Clock  clock.PassiveClock
}

// Log is the audit log. A nil Log records nothing. Use Start to make one.
type Log struct {
	options Options
	lines   chan Line
	closing chan struct{}
	ended   chan struct{}
	close   func()
	// behind counts lines that were lost because lines was full. The writer logs them.
	behind atomic.Int64

	// torn: the last write ended within a line. Only the writer uses torn and complained.
	torn       bool
	complained time.Time
}

// Start returns a Log whose writer runs until Close.
func Start(o Options) *Log {
	l := &Log{
		options: o, lines: make(chan Line, mostWaiting), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	l.close = sync.OnceFunc(func() { close(l.closing) })
	go l.write()
	return l
}

// Record adds a line. It never waits: if too many lines wait already, the line is lost. Lines are
// written in the order in which they were recorded.
func (l *Log) Record(line Line) {
	if l == nil {
		return
	}
	select {
	case l.lines <- line:
	default:
		l.behind.Add(1)
		l.count(0, 1)
	}
}

// Close writes the lines that were recorded before, and ends the Log. Nobody may call Record
// afterwards. Close returns the error of ctx if ctx ends first: then the target is blocked.
func (l *Log) Close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.close()
	select {
	case <-l.ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Log) count(written, lost int) {
	if l.options.Counted != nil {
		l.options.Counted(written, lost)
	}
}

// write writes lines until the Log is closed and no line is left.
func (l *Log) write() {
	defer close(l.ended)
	for {
		select {
		case line := <-l.lines:
			l.writeBatch(line)
		case <-l.closing:
			for {
				select {
				case line := <-l.lines:
					l.writeBatch(line)
				default:
					return
				}
			}
		}
	}
}

// writeBatch writes a line, and the lines that wait behind it, at once.
func (l *Log) writeBatch(first Line) {
	if lost := l.behind.Swap(0); lost > 0 {
		l.complain(errBehind, lost)
	}
	var batch bytes.Buffer
	if l.torn {
		batch.WriteByte('\n')
	}
	encoder, count := json.NewEncoder(&batch), 0
	for line, more := first, true; more; count++ {
		_ = encoder.Encode(line) // strings and a time can always be encoded
		line, more = l.next(count + 1)
	}
	n, err := l.options.To.Write(batch.Bytes())
	n = min(max(n, 0), batch.Len())
	written := bytes.Count(batch.Bytes()[:n], []byte{'\n'})
	switch {
	case l.torn && n > 0:
		written-- // the end of the torn line
		l.torn = batch.Bytes()[n-1] != '\n'
	case n > 0:
		l.torn = batch.Bytes()[n-1] != '\n'
	}
	if written < count && err == nil {
		err = io.ErrShortWrite
	}
	l.count(written, count-written)
	if err != nil {
		l.complain(err, int64(count-written))
	}
}

// next returns the next line of a batch that has count lines, if it has room and a line waits.
func (l *Log) next(count int) (Line, bool) {
	if count >= mostInBatch {
		return Line{}, false
	}
	select {
	case line := <-l.lines:
		return line, true
	default:
		return Line{}, false
	}
}

// complain logs that lines were lost, at most once a minute. The metric counts all of them.
func (l *Log) complain(err error, lost int64) {
	now := l.options.Clock.Now()
	if since := now.Sub(l.complained); !l.complained.IsZero() && since >= 0 && since < complainEvery {
		return
	}
	l.complained = now
	l.options.Logger.Error(err, "Cannot write the audit log", "lost", lost)
}
