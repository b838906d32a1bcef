package main

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
)

// reviewer is an API server that accepts no bearer token. It answers once it is released.
type reviewer struct {
	*httptest.Server
	arrived  chan string // the user agent of each request
	released chan struct{}
}

func newReviewer(t *testing.T) *reviewer {
	t.Helper()
	r := &reviewer{arrived: make(chan string, 100), released: make(chan struct{})}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.arrived <- request.UserAgent()
		<-r.released
		review := &authenticationv1.TokenReview{TypeMeta: metav1.TypeMeta{APIVersion: "authentication.k8s.io/v1", Kind: "TokenReview"}}
		if err := json.NewDecoder(request.Body).Decode(review); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(r.Close)
	return r
}

// metrics returns the metrics handler of an operator that uses this API server.
func (r *reviewer) metrics(t *testing.T, kubeconfig *rest.Config) http.Handler {
	t.Helper()
	kubeconfig.Host, kubeconfig.UserAgent = r.URL, "pipes-operator/test"
	kubeconfig.ContentType = "application/json"
	filter, err := metricsFilter(kubeconfig, nil)
	if err != nil {
		t.Fatal(err)
	}
	served, err := filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("metrics for everybody") }))
	if err != nil {
		t.Fatal(err)
	}
	return served
}

// refused is the status with which controller-runtime answers an unknown bearer token.
const refused = http.StatusInternalServerError

// ask scrapes with an unknown bearer token, and returns the status and the headers of the answer.
func ask(t *testing.T, metrics http.Handler, client, token string) (int, http.Header) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody)
	request.RemoteAddr = client + ":1234"
	request.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	metrics.ServeHTTP(answer, request)
	return answer.Code, answer.Header()
}

func TestFewRequestsForMetricsWaitForTheAPIServerAtOnce(t *testing.T) {
	api := newReviewer(t)
	metrics := api.metrics(t, &rest.Config{})
	var waiting sync.WaitGroup
	occupy := func(client, token string) {
		waiting.Go(func() {
			if got, _ := ask(t, metrics, client, token); got != refused {
				t.Errorf("HTTP %d for a token that nobody has", got)
			}
		})
		if agent := <-api.arrived; agent != "pipes-operator/test metrics" {
			t.Errorf("the API server is asked by %q", agent)
		}
	}
	for _, token := range []string{"a", "b", "c", "d"} {
		occupy("192.0.2.1", token)
	}
	for range 600 {
		if got, header := ask(t, metrics, "192.0.2.1", "e"); got != http.StatusServiceUnavailable || header.Get("Retry-After") == "" {
			t.Fatalf("HTTP %d, Retry-After %q", got, header.Get("Retry-After"))
		}
	}
	if asked := len(api.arrived); asked != 0 {
		t.Errorf("the API server was asked %d times more", asked)
	}
	occupy("192.0.2.2", "f") // another client has room
	close(api.released)
	waiting.Wait()
	if got, _ := ask(t, metrics, "192.0.2.1", "g"); got != refused {
		t.Errorf("HTTP %d once there is room again", got)
	}
}

func TestRequestsForMetricsAreBoundedInAll(t *testing.T) {
	limit := &inFlight{most: 3, perClient: 2}
	for _, entered := range []struct {
		client string
		want   bool
	}{{"a", true}, {"a", true}, {"a", false}, {"b", true}, {"c", false}} {
		if got := limit.enter(entered.client); got != entered.want {
			t.Fatalf("%s: %t", entered.client, got)
		}
	}
	for _, client := range []string{"a", "a", "b"} {
		limit.leave(client)
	}
	if limit.all != 0 || len(limit.clients) != 0 {
		t.Errorf("in the end %d are in flight, of %v", limit.all, limit.clients)
	}
}

// Requests of strangers at the metrics port do not use the rate limit of the controllers.
func TestReviewsHaveARateLimitOfTheirOwn(t *testing.T) {
	controllers := &rest.Config{RateLimiter: flowcontrol.NewTokenBucketRateLimiter(50, 100), QPS: 50, Burst: 100}
	reviews := reviewsConfig(controllers)
	if reviews.RateLimiter == controllers.RateLimiter || reviews.RateLimiter.QPS() != metricsReviewsPerSecond {
		t.Errorf("%v reviews a second", reviews.RateLimiter.QPS())
	}
	for reviews.RateLimiter.TryAccept() {
		continue
	}
	if !controllers.RateLimiter.TryAccept() {
		t.Error("the controllers have to wait")
	}
	unlimited := &rest.Config{QPS: -1}
	if got := reviewsConfig(unlimited).RateLimiter.QPS(); got != metricsReviewsPerSecond || unlimited.RateLimiter != nil {
		t.Errorf("%v reviews a second beside controllers without a limit", got)
	}
}

func TestMetricsAreServedWithoutHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	config := &tls.Config{NextProtos: []string{"h2"}}
	metricsTLS(config)
	server.TLS = config
	server.StartTLS()
	defer server.Close()
	transport := server.Client().Transport.(*http.Transport)
	transport.ForceAttemptHTTP2 = true
	answer, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.Proto != "HTTP/1.1" || answer.TLS.Version < tls.VersionTLS12 {
		t.Errorf("%s with TLS %x", answer.Proto, answer.TLS.Version)
	}
}

// The leader election never waits behind the controllers, and 0 means no limit, not the default of
// client-go.
func TestRequestsToTheKubernetesAPIAreLimitedByTheFlagAlone(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		qps       float32
		limited   bool
	}{
		"by default": {nil, -1, false},
		"zero":       {[]string{"--kube-api-qps=0"}, -1, false},
		"a limit":    {[]string{"--kube-api-qps=20", "--kube-api-burst=40"}, 20, true},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := parse(t, test.arguments...)
			if err != nil {
				t.Fatal(err)
			}
			kubeconfig := &rest.Config{}
			election := limitRequests(kubeconfig, o)
			if kubeconfig.QPS != test.qps || election.QPS != test.qps || (kubeconfig.RateLimiter != nil) != test.limited || election.RateLimiter != nil {
				t.Errorf("controllers %+v, leader election %+v", kubeconfig, election)
			}
		})
	}
}
