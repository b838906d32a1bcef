package workos_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// hijack passes the raw connection to act and closes it afterwards. It reads the request first:
// closing a connection with unread data would reset it.
func hijack(t *testing.T, act func(*net.TCPConn)) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		connection, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		act(connection.(*net.TCPConn))
		_ = connection.Close()
	}
}

func TestFailuresOfRealConnections(t *testing.T) {
	released := make(chan struct{})
	refusing := serve(t, nil)
	refusing.Close()
	strangers := httptest.NewUnstartedServer(http.NotFoundHandler())
	strangers.Config.ErrorLog = log.New(io.Discard, "", 0)
	strangers.StartTLS()
	t.Cleanup(strangers.Close)
	for name, test := range map[string]struct {
		url     string
		handler http.HandlerFunc
		outcome workos.Outcome
		message string
	}{
		"connection refused": {url: refusing.URL, outcome: workos.OutcomeUnavailable, message: "connection refused"},
		"unknown authority":  {url: strangers.URL, outcome: workos.OutcomeUnavailable, message: "TLS verification failed"},
		"reset": {
			handler: hijack(t, func(c *net.TCPConn) { _ = c.SetLinger(0) }),
			outcome: workos.OutcomeUnavailable, message: "connection reset",
		},
		"closed without an answer": {
			handler: hijack(t, func(*net.TCPConn) {}),
			outcome: workos.OutcomeUnavailable, message: "connection closed",
		},
		"not HTTP": {
			handler: hijack(t, func(c *net.TCPConn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.6\r\n\r\n") }),
			outcome: workos.OutcomeUnavailable, message: "connection failed",
		},
		"cut short": {
			handler: hijack(t, func(c *net.TCPConn) {
				_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(goodBody), goodBody[:len(goodBody)/2])
			}),
			outcome: workos.OutcomeUnreadable, message: "the answer was cut short",
		},
		"error cut short": {
			handler: hijack(t, func(c *net.TCPConn) {
				_, _ = io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 99\r\n\r\n{\"message\":\"no\"}")
			}),
			outcome: workos.OutcomeNotFound, message: "HTTP 404 Not Found",
		},
		"switching protocols": {
			handler: hijack(t, func(c *net.TCPConn) {
				_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n")
				<-released
			}),
			outcome: workos.OutcomeUnreadable, message: "HTTP 101 Switching Protocols",
		},
		"body without end": {
			handler: func(w http.ResponseWriter, r *http.Request) {
				for r.Context().Err() == nil {
					_, _ = io.WriteString(w, strings.Repeat("a", 4096))
				}
			},
			outcome: workos.OutcomeUnreadable, message: "the answer is longer than 1 MiB",
		},
	} {
		t.Run(name, func(t *testing.T) {
			url := test.url
			if test.handler != nil {
				url = serve(t, test.handler).URL
			}
			answer := ask(t, connectOnly(t, workos.Options{}, url), alice)
			if name == "switching protocols" {
				close(released)
			}
			if answer.Outcome != test.outcome || answer.Message != test.message || !answer.Sent {
				t.Errorf("got %s %q, sent %v; want %s %q", answer.Outcome, answer.Message, answer.Sent, test.outcome, test.message)
			}
		})
	}
}

func TestTimeoutBoundsTheWholeCall(t *testing.T) {
	for name, begin := range map[string]func(http.ResponseWriter){
		"no answer":            func(http.ResponseWriter) {},
		"an answer that stops": func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{"active":`); w.(http.Flusher).Flush() },
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				// Only after reading the body does the server notice that the client has left.
				_, _ = io.ReadAll(r.Body)
				begin(w)
				<-r.Context().Done()
			})
			answer := ask(t, connectOnly(t, workos.Options{Timeout: 20 * time.Millisecond}, server.URL), alice)
			if answer.Outcome != workos.OutcomeUnavailable || answer.Message != "timed out" {
				t.Errorf("got %s %q", answer.Outcome, answer.Message)
			}
		})
	}
}

func TestFailuresAreToldInFixedWords(t *testing.T) {
	dial := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 6379}, Err: err}
	}
	for name, test := range map[string]struct {
		err  error
		want string
	}{
		"refused":        {dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "connection refused"},
		"reset":          {dial(os.NewSyscallError("read", syscall.ECONNRESET)), "connection reset"},
		"broken pipe":    {dial(os.NewSyscallError("write", syscall.EPIPE)), "connection reset"},
		"unreachable":    {dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "connection failed"},
		"no such host":   {dial(&net.DNSError{Name: "redis.internal", Server: "10.0.0.10:53", IsNotFound: true}), "no such host"},
		"DNS failure":    {dial(&net.DNSError{Name: "redis.internal", Server: "10.0.0.10:53", Err: "server misbehaving"}), "name resolution failed"},
		"DNS timeout":    {dial(&net.DNSError{Name: "redis.internal", IsTimeout: true}), "timed out"},
		"kernel timeout": {dial(os.NewSyscallError("connect", syscall.ETIMEDOUT)), "timed out"},
		"deadline":       {fmt.Errorf("10.0.0.7: %w", context.DeadlineExceeded), "timed out"},
		"poll deadline":  {dial(os.ErrDeadlineExceeded), "timed out"},
		"EOF":            {fmt.Errorf("10.0.0.7: %w", io.EOF), "connection closed"},
		"alert":          {dial(tls.AlertError(42)), "TLS verification failed"},
		"no TLS":         {tls.RecordHeaderError{Msg: "-ERR unknown command at 10.0.0.7"}, "TLS verification failed"},
		"anything":       {errors.New("-NOAUTH 10.0.0.7 " + testKey), "connection failed"},
	} {
		t.Run(name, func(t *testing.T) {
			transport := roundTrip(func(*http.Request) (*http.Response, error) { return nil, test.err })
			answer := ask(t, connectOnly(t, workos.Options{Transport: transport}, baseURL), alice)
			expect(t, answer, workos.OutcomeUnavailable, true, 0)
			if answer.Message != test.want {
				t.Errorf("got %q, want %q", answer.Message, test.want)
			}
		})
	}
}
