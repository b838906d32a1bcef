//go:build reliability

package tenancy_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workos"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// workosHosts are the hosts that API keys may be sent to: the default of
// --allowed-upstream-hosts.
var workosHosts = []string{"api.workos.com", "api.workos-test.com"}

// loopbackName is a host name of the attacker that resolves to this machine.
const loopbackName = "loopback.example.com"

// Kinds of network activity of the operator.
const (
	toWorkOS     = "dialled WorkOS"
	elsewhere    = "dialled elsewhere"
	strangeNames = "looked up another name"
	called       = "called WorkOS"
	trapped      = "called the attacker"
)

// network is everything that the operator can reach besides the API server: WorkOS, which is a
// simulator, and a trap, which is a server of the attacker. It notes each dial and each name
// lookup, and lets no packet leave this machine.
var network = &fakeNetwork{}

type fakeNetwork struct {
	workos   *workossim.Simulator
	frontend *httptest.Server
	trap     *httptest.Server

	mu sync.Mutex
	// seen is all activity in its order. counts has the number of events of each kind.
	seen   []string
	counts map[string]int
	// answers replaces the simulator; nil: the simulator answers. down is the error of every dial;
	// nil: dials succeed.
	answers http.HandlerFunc
	down    error
	carrier *http.Transport
}

func (n *fakeNetwork) start() {
	n.counts = map[string]int{}
	n.workos = workossim.New(workossim.Options{Clock: clock, APIKeys: []string{apiKey, floodKey}, Slugs: []string{"github", "slack"}})
	certificate := certificateFor(append(slices.Clone(workosHosts), loopbackName)...)
	n.frontend = serveTLS(certificate, n.serveWorkOS)
	n.trap = serveTLS(certificate, n.serveTrap)
	DeferCleanup(func() { n.workos.Close(); n.frontend.Close(); n.trap.Close() })
	// A name lookup that does not use the dialer of the transport is noted here.
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(_ context.Context, _, address string) (net.Conn, error) {
		n.note(strangeNames, "the resolver at "+address)
		return nil, errUnreachable
	}}
	DeferCleanup(func() { net.DefaultResolver = before })
}

// transport is the operator's own transport with another dialer and another root of trust. It
// ignores the proxies of the machine that runs the tests.
func (n *fakeNetwork) transport() http.RoundTripper {
	transport := workos.NewTransport()
	transport.Proxy = nil
	transport.DialContext = n.dial
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(n.frontend.Certificate())
	n.carrier = transport
	return transport
}

var errUnreachable = errors.New("the network of the tests ends here")

// dial resolves names itself, and connects to this machine only.
func (n *fakeNetwork) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	kind, target := elsewhere, ""
	switch ip := net.ParseIP(host); {
	case slices.Contains(workosHosts, host) && port == "443":
		kind, target = toWorkOS, n.frontend.Listener.Addr().String()
	case host == loopbackName:
		target = n.trap.Listener.Addr().String()
	case ip != nil && ip.IsLoopback():
		target = address
	}
	n.note(kind, address)
	if net.ParseIP(host) == nil && !slices.Contains(workosHosts, host) {
		n.note(strangeNames, host)
	}
	n.mu.Lock()
	down := n.down
	n.mu.Unlock()
	switch {
	case target == "":
		return nil, errUnreachable
	case down != nil:
		return nil, down
	}
	return (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, network, target)
}

func (n *fakeNetwork) note(kind, what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.counts[kind]++
	n.seen = append(n.seen, kind+": "+what)
}

func (n *fakeNetwork) count(kind string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts[kind]
}

// mark is the number of events so far.
func (n *fakeNetwork) mark() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.seen)
}

// since returns the events after mark.
func (n *fakeNetwork) since(mark int) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.seen[mark:])
}

// callsSince returns the events after mark without dials to WorkOS, because the transport decides
// whether a call needs a new connection.
func (n *fakeNetwork) callsSince(mark int) []string {
	return slices.DeleteFunc(n.since(mark), func(what string) bool { return strings.HasPrefix(what, toWorkOS) })
}

func (n *fakeNetwork) serveWorkOS(w http.ResponseWriter, r *http.Request) {
	n.note(called, r.Method+" "+r.Host+r.URL.Path)
	n.mu.Lock()
	answers := n.answers
	n.mu.Unlock()
	if answers != nil {
		answers(w, r)
		return
	}
	n.workos.ServeHTTP(w, r)
}

// answerWith replaces the answers of WorkOS until the spec ends.
func (n *fakeNetwork) answerWith(answers http.HandlerFunc) {
	set := func(answers http.HandlerFunc) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.answers = answers
	}
	set(answers)
	DeferCleanup(func() { set(nil) })
}

// failWith makes every dial fail until the spec ends.
func (n *fakeNetwork) failWith(down error) {
	set := func(down error) {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.down = down
	}
	set(down)
	n.carrier.CloseIdleConnections()
	DeferCleanup(func() { set(nil) })
}

func (n *fakeNetwork) serveTrap(_ http.ResponseWriter, r *http.Request) {
	n.note(trapped, r.Method+" "+r.Host+r.URL.Path+" "+strings.Join(r.Header["Authorization"], " "))
}

func serveTLS(certificate tls.Certificate, handler http.HandlerFunc) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	return server
}

// certificateFor returns a self-signed certificate for hosts and for the loopback addresses.
func certificateFor(hosts ...string) tls.Certificate {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tenancy"}, DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	Expect(err).NotTo(HaveOccurred())
	return tls.Certificate{Certificate: [][]byte{signed}, PrivateKey: key}
}
