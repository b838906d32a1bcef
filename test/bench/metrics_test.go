package main

import (
	"os"
	"testing"
)

const metricsText = `# HELP apiserver_request_total Counter
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",resource="secrets",verb="POST"} 3
apiserver_request_total{code="409",resource="secrets",verb="POST"} 1
apiserver_request_total{resource="pipestokens",verb="GET",} 1e+06 1700000000
apiserver_request_total_other 9
quoted{text="a \"b\", {c} \\ \n"} 2.5
plain 7
`

func TestMetricsAreParsed(t *testing.T) {
	read, err := parseMetrics([]byte(metricsText), "apiserver_request_total", "quoted", "plain")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		labels map[string]string
		want   float64
	}{
		{"apiserver_request_total", map[string]string{"verb": "POST"}, 4},
		{"apiserver_request_total", map[string]string{"verb": "POST", "code": "409"}, 1},
		{"apiserver_request_total", map[string]string{"verb": "GET"}, 1e6},
		{"apiserver_request_total", map[string]string{"verb": "DELETE"}, 0},
		{"quoted", map[string]string{"text": "a \"b\", {c} \\ \n"}, 2.5},
		{"plain", nil, 7},
		{"apiserver_request_total_other", nil, 0}, // not requested
	} {
		if got := read.sum(test.name, test.labels); got != test.want {
			t.Errorf("%s %v: got %g, want %g", test.name, test.labels, got, test.want)
		}
	}
}

func TestMetricsThatCannotBeReadAreErrors(t *testing.T) {
	for _, line := range []string{`m{a=b} 1`, `m{a="b} 1`, `m{a} 1`, `m{a="b"}`, `m x`} {
		if read, err := parseMetrics([]byte(line+"\n"), "m"); err == nil {
			t.Errorf("%s: got %v", line, read)
		}
	}
}

func TestCPUTimesAreFoundAfterAnyName(t *testing.T) {
	got, err := parseCPU("123 (a name) with ) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0")
	if err != nil || got != 1.75 {
		t.Errorf("got %g, %v", got, err)
	}
	if _, err := parseCPU("123 (name) R 1 2"); err == nil {
		t.Error("no error for one that is too short")
	}
}

func TestThisProcessUsesMemory(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc here")
	}
	got, err := memoryOf(os.Getpid())
	if err != nil || got.resident < 1<<20 || got.peak < got.resident/2 {
		t.Errorf("got %+v, %v", got, err)
	}
}
