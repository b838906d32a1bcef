package workossim

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"strconv"
	"time"
)

// delivery is the way in which an answer reaches the caller.
type delivery int

const (
	deliverWhole delivery = iota
	deliverHalf
	deliverEndlessly
	neverDeliver
	resetConnection
)

// deliver sends an answer, or fails in the way that was decided.
func (s *Simulator) deliver(w http.ResponseWriter, r *http.Request, a *answer) {
	ctx, stop := s.whileWanted(r.Context())
	defer stop()
	wait(ctx, a)
	switch a.delivery {
	case neverDeliver:
		<-ctx.Done()
		panic(http.ErrAbortHandler)
	case resetConnection:
		reset(w)
	case deliverEndlessly:
		s.writeHeader(w, a)
		writeEndlessly(ctx, w)
		panic(http.ErrAbortHandler) // ends the connection, but not the body
	case deliverHalf:
		s.writeHeader(w, a)
		_, _ = w.Write(a.body[:len(a.body)/2])
	default:
		s.writeHeader(w, a)
		_, _ = w.Write(a.body)
	}
}

// whileWanted returns a context that is done when the caller has gone or the simulator is
// closed. The returned function releases the context.
func (s *Simulator) whileWanted(request context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(request)
	unregister := context.AfterFunc(s.life, cancel)
	return ctx, func() {
		unregister()
		cancel()
	}
}

// wait waits for the latency and the holds of an answer. It aborts the request if the answer is
// no longer wanted before that.
func wait(ctx context.Context, a *answer) {
	if a.latency > 0 {
		timer := time.NewTimer(a.latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
	for _, hold := range a.holds {
		select {
		case <-hold:
		case <-ctx.Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// writeHeader sends everything except the body. Date is the current time of the simulator, plus
// the date offset of the answer.
func (s *Simulator) writeHeader(w http.ResponseWriter, a *answer) {
	header := w.Header()
	header.Set("Date", s.now().Add(a.dateOffset).Format(http.TimeFormat))
	header.Set("X-Request-ID", a.requestID)
	optional := map[string]string{"Content-Type": a.contentType, "Retry-After": a.retryAfter, "Allow": a.allow}
	for name, value := range optional {
		if value != "" {
			header.Set(name, value)
		}
	}
	if a.delivery != deliverEndlessly {
		header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
}

// writeEndlessly sends the beginning of a JSON object whose first string never ends, as fast as
// the caller reads. It returns when ctx is done. A write that blocks because the caller does
// not read is interrupted then.
func writeEndlessly(ctx context.Context, w http.ResponseWriter) {
	controller := http.NewResponseController(w)
	interrupted := make(chan struct{})
	unregister := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = controller.SetWriteDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !unregister() {
			<-interrupted // w must not be used once the handler has returned
		}
	}()
	if _, err := io.WriteString(w, `{"active":true,"x_padding":"`); err != nil {
		return
	}
	padding := bytes.Repeat([]byte("a"), 32<<10)
	for ctx.Err() == nil {
		if _, err := w.Write(padding); err != nil {
			return
		}
		if err := controller.Flush(); err != nil {
			return
		}
	}
}

// reset makes the caller see a connection that was reset by its peer. In HTTP/2, requests share
// a connection, so only the stream is reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if encrypted, ok := conn.(*tls.Conn); ok {
		conn = encrypted.NetConn()
	}
	// With linger 0, Close discards unsent data and sends a TCP reset.
	if lingerer, ok := conn.(interface{ SetLinger(seconds int) error }); ok {
		_ = lingerer.SetLinger(0)
	}
	_ = conn.Close()
}
