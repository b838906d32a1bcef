package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
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
func scrape(ctx context.Context, client *http.Client, url string, names ...string) (read samples, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("reading metrics: %s answers %s", url, response.Status)
	}
	return parseMetrics(response.Body, names...)
}

// parseMetrics reads the metrics with the given names from the Prometheus text format.
func parseMetrics(text io.Reader, names ...string) (samples, error) {
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	var read samples
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		end := strings.IndexAny(line, "{ ")
		if end < 0 || !wanted[line[:end]] {
			continue
		}
		parsed, err := parseSample(line[:end], line[end:])
		if err != nil {
			return nil, fmt.Errorf("reading metrics: %q: %w", line, err)
		}
		read = append(read, parsed)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	return read, nil
}

// parseSample parses the text after the name of a metric: optional labels and a value. It
// ignores a timestamp after the value.
func parseSample(name, rest string) (sample, error) {
	s := sample{name: name, labels: map[string]string{}}
	rest, found := strings.CutPrefix(rest, "{")
	for found && !strings.HasPrefix(rest, "}") {
		key, quoted, ok := strings.Cut(rest, "=")
		text, err := strconv.QuotedPrefix(quoted)
		if !ok || err != nil {
			return sample{}, errors.New("its labels cannot be read")
		}
		if s.labels[key], err = strconv.Unquote(text); err != nil {
			return sample{}, errors.New("its labels cannot be read")
		}
		rest = strings.TrimPrefix(quoted[len(text):], ",")
	}
	fields := strings.Fields(strings.TrimPrefix(rest, "}"))
	if len(fields) == 0 {
		return sample{}, errors.New("it has no value")
	}
	var err error
	s.value, err = strconv.ParseFloat(fields[0], 64)
	return s, err
}
