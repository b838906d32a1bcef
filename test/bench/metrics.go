package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pipes-operator/pipes-operator/test/harness"
)

// sample is a value of a series.
type sample struct {
	name   string
	labels map[string]string
	value  float64
}

// samples are the values of a scrape.
type samples []sample

// sum returns the sum of all series with this name and these labels. It returns 0 for an absent
// metric, because a metric may be absent until its first event.
func (s samples) sum(name string, labels map[string]string) float64 {
	total := 0.0
	for _, each := range s {
		if each.name == name && each.has(labels) {
			total += each.value
		}
	}
	return total
}

func (s sample) has(labels map[string]string) bool {
	for key, value := range labels {
		if s.labels[key] != value {
			return false
		}
	}
	return true
}

// scrape reads the metrics with the given names.
func scrape(ctx context.Context, client *http.Client, url string, names ...string) (samples, error) {
	text, err := harness.Get(ctx, client, url)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return parseMetrics(text, names...)
}

// parseMetrics reads the counters and gauges with the given names from the Prometheus text format.
// It parses no other lines, because the API server has many.
func parseMetrics(text []byte, names ...string) (samples, error) {
	var wanted bytes.Buffer
	for line := range bytes.Lines(text) {
		if end := bytes.IndexAny(line, "{ "); end >= 0 && slices.Contains(names, string(line[:end])) {
			wanted.Write(line)
		}
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(&wanted)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	var read samples
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			s := sample{name: name, labels: map[string]string{}, value: metric.GetUntyped().GetValue()}
			for _, label := range metric.GetLabel() {
				s.labels[label.GetName()] = label.GetValue()
			}
			read = append(read, s)
		}
	}
	return read, nil
}

// request is a kind of request to the API server.
type request struct {
	// The verb in the API server's metrics. APPLY is a PATCH with server-side apply.
	verb     string
	resource string // including the subresource
}

func (r request) writes() bool {
	return slices.Contains([]string{"POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"}, r.verb)
}

// requestCounts are the numbers of requests that the API server has answered, by kind.
type requestCounts map[request]float64

// ownResources are the resources that the operator reads or writes.
var ownResources = []string{"secrets", "pipestokens", "pipesenvironments", "events", "leases"}

// requests reads the counts from the API server's metrics. The API server counts a watch when it
// ends.
func (p *plane) requests(ctx context.Context) (requestCounts, error) {
	const metric = "apiserver_request_total"
	read, err := scrape(ctx, p.http, strings.TrimSuffix(p.Admin.Host, "/")+"/metrics", metric)
	if err != nil {
		return nil, err
	}
	counts := requestCounts{}
	for _, s := range read {
		if !slices.Contains(ownResources, s.labels["resource"]) {
			continue
		}
		resource := strings.TrimSuffix(s.labels["resource"]+"/"+s.labels["subresource"], "/")
		if resource == "events" && s.labels["group"] == "" {
			resource = electionEvents
		}
		counts[request{s.labels["verb"], resource}] += s.value
	}
	return counts, nil
}

// minus returns the requests since before.
func (c requestCounts) minus(before requestCounts) requestCounts {
	since := requestCounts{}
	for kind, count := range c {
		if count > before[kind] {
			since[kind] = count - before[kind]
		}
	}
	return since
}

// electionEvents are the core events. Only the leader election emits them.
const electionEvents = "events (core)"

// writes returns the number of writes, without those of the leader election, which are
// independent of the workload.
func (c requestCounts) writes() float64 {
	total := 0.0
	for kind, count := range c {
		if kind.writes() && kind.resource != "leases" && kind.resource != electionEvents {
			total += count
		}
	}
	return total
}

// kinds returns all kinds of the given counts, sorted.
func kinds(counts ...requestCounts) []request {
	var all []request
	for _, each := range counts {
		for kind := range each {
			if !slices.Contains(all, kind) {
				all = append(all, kind)
			}
		}
	}
	slices.SortFunc(all, func(a, b request) int {
		return cmp.Or(cmp.Compare(a.resource, b.resource), cmp.Compare(a.verb, b.verb))
	})
	return all
}
