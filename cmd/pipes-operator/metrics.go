package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"sync"

	"github.com/go-logr/logr"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

// Every client that reaches the metrics port can make the operator ask the API server about a
// bearer token. These reviews must not slow down the controllers. Therefore they have a separate
// client with a separate rate limit, and only a few requests wait for it at the same time.
const (
	// A scraper causes two reviews, and then no review for a minute.
	metricsReviewsPerSecond = 5
	metricsReviewsBurst     = 10
	// metricsInFlight is the maximum number of requests that are served at the same time.
	// metricsInFlightPerClient is the maximum for one address, so that one client does not block
	// all others.
	metricsInFlight          = 16
	metricsInFlightPerClient = 4
)

func metricsOptions(o options) metricsserver.Options {
	options := metricsserver.Options{
		BindAddress: o.metricsBindAddress, SecureServing: o.metricsSecure, CertDir: o.metricsCertDir,
		TLSOpts: []func(*tls.Config){metricsTLS},
	}
	if o.metricsSecure {
		options.FilterProvider = metricsFilter
	}
	return options
}

// metricsTLS disables HTTP/2. With HTTP/2 one connection carries many requests. A scraper does
// not need that, and it has been used to exhaust servers (CVE-2023-44487).
func metricsTLS(c *tls.Config) {
	c.MinVersion, c.NextProtos = tls.VersionTLS12, []string{"http/1.1"}
}

// metricsFilter accepts the requests that the Kubernetes API authenticates and authorizes.
func metricsFilter(config *rest.Config, _ *http.Client) (metricsserver.Filter, error) {
	config = reviewsConfig(config)
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for those who read metrics: %w", err)
	}
	authenticated, err := filters.WithAuthenticationAndAuthorization(config, httpClient)
	if err != nil {
		return nil, err
	}
	return func(log logr.Logger, handler http.Handler) (http.Handler, error) {
		handler, err := authenticated(log, handler)
		if err != nil {
			return nil, err
		}
		return &inFlight{next: handler, most: metricsInFlight, perClient: metricsInFlightPerClient}, nil
	}, nil
}

// reviewsConfig returns the configuration of the client for TokenReviews and
// SubjectAccessReviews.
func reviewsConfig(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS, config.Burst = metricsReviewsPerSecond, metricsReviewsBurst
	// The clients of both kinds share this limiter. Otherwise each client would create its own.
	config.RateLimiter = flowcontrol.NewTokenBucketRateLimiter(config.QPS, config.Burst)
	config.UserAgent += " metrics"
	return config
}

// inFlight limits how many requests next serves at the same time, and answers all others with
// 503.
type inFlight struct {
	next            http.Handler
	most, perClient int

	mu      sync.Mutex
	all     int
	clients map[string]int // no entry: no requests
}

// ServeHTTP implements http.Handler.
func (l *inFlight) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	client, _, err := net.SplitHostPort(request.RemoteAddr)
	if err != nil {
		client = request.RemoteAddr
	}
	if !l.enter(client) {
		w.Header().Set("Retry-After", "1")
		http.Error(w, "Too many requests at once, try again in a second", http.StatusServiceUnavailable)
		return
	}
	defer l.leave(client)
	l.next.ServeHTTP(w, request)
}

func (l *inFlight) enter(client string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all >= l.most || l.clients[client] >= l.perClient {
		return false
	}
	if l.clients == nil {
		l.clients = map[string]int{}
	}
	l.all++
	l.clients[client]++
	return true
}

func (l *inFlight) leave(client string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.clients[client]--; l.clients[client] == 0 {
		delete(l.clients, client)
	}
}
