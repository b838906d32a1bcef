package workos_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// counted starts a server that counts its connections. If tls is true, it serves TLS and HTTP/2.
func counted(t *testing.T, tls bool, handler http.HandlerFunc) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	if tls {
		server.EnableHTTP2 = true
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return server, &connections
}

func trusting(server *httptest.Server) *http.Transport {
	transport := workos.NewTransport()
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	return transport
}

func TestConcurrentCallsShareHTTP2Connections(t *testing.T) {
	server, connections := counted(t, true, func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("got %s", r.Proto)
		}
		_, _ = io.WriteString(w, goodBody)
	})
	client := connectOnly(t, workos.Options{Transport: trusting(server)}, server.URL)
	ask(t, client, alice)
	var calls sync.WaitGroup
	for n := range 50 {
		calls.Go(func() {
			if answer, err := client.Token(t.Context(), user(n), workos.Turn{}); err != nil || answer.Outcome != workos.OutcomeToken {
				t.Errorf("got %s %q, %v", answer.Outcome, answer.Message, err)
			}
		})
	}
	calls.Wait()
	if got := connections.Load(); got != 1 {
		t.Errorf("got %d connections, want 1", got)
	}
}

func TestHTTP1ConnectionsAreUsedAgainAfterEveryAnswer(t *testing.T) {
	var n atomic.Int32
	statuses := []int{200, 404, 500, 302, 200}
	server, connections := counted(t, false, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(statuses[int(n.Add(1))%len(statuses)])
		_, _ = w.Write(make([]byte, 100_000))
	})
	client := connectOnly(t, workos.Options{}, server.URL)
	for range 10 {
		ask(t, client, alice)
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("got %d connections, want 1", got)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed, with Authorization %q", r.Header.Get("Authorization"))
	})
	for _, status := range []int{300, 301, 302, 303, 305, 307, 308} {
		for _, location := range []string{elsewhere.URL, "", "%zz", "/data-integrations/other/token"} {
			calls := 0
			server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				calls++
				w.Header().Set("Location", location)
				w.WriteHeader(status)
			})
			expect(t, ask(t, connectOnly(t, workos.Options{}, server.URL), alice), workos.OutcomeRejected, true, 0)
			if calls != 1 {
				t.Errorf("%d to %q: got %d calls", status, location, calls)
			}
		}
	}
}

func TestTLSBefore12IsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // the point of it
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	client := connectOnly(t, workos.Options{Transport: trusting(server)}, server.URL)
	expect(t, ask(t, client, alice), workos.OutcomeUnavailable, true, 0)
}

func TestTransportUsesTheProxyOfTheEnvironment(t *testing.T) {
	if workos.NewTransport().Proxy == nil {
		t.Error("no proxy")
	}
}
