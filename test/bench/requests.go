package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
)

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
	read, err := scrape(ctx, p.http, strings.TrimSuffix(p.admin.Host, "/")+"/metrics", metric)
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
