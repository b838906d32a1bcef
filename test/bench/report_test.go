package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

func TestATableShowsTheRatioToTheFloorAndNothingForWhatIsUnknown(t *testing.T) {
	r := result{Figures: []figure{
		against("wall, s", 3, 2, "≤ 1.10"), seen("p99, s", math.NaN(), ""), against("calls", 0, 0, "0"),
	}}
	const want = `| figure | seen | floor | ratio | target |
|---|---|---|---|---|
| wall, s | 3 | 2 | 1.50 | ≤ 1.10 |
| p99, s |  |  |  |  |
| calls | 0 | 0 |  | 0 |
`
	if got := r.figureTable(); got != want {
		t.Errorf("got %s", got)
	}
}

func TestRequestsAreDividedAndComparedByKind(t *testing.T) {
	before := requestCounts{{"POST", "secrets"}: 5}
	after := requestCounts{{"POST", "secrets"}: 25, {"APPLY", "pipestokens/status"}: 10, {"PUT", "leases"}: 3}
	since := after.minus(before)
	if since.writes() != 30 {
		t.Errorf("got %g writes", since.writes())
	}
	rows := requestRows(since, 10, requestCounts{{"POST", "secrets"}: 4}, 4)
	if len(rows) != 3 || rows[2] != (requestRow{"POST", "secrets", 20, 2, 1}) || rows[1].Floor != 0 {
		t.Errorf("got %+v", rows)
	}
}

func TestJSONHasNullForWhatIsUnknown(t *testing.T) {
	text, err := json.Marshal(seen("p99", math.NaN(), ""))
	if err != nil || string(text) != `{"name":"p99","seen":null,"floor":null,"ratio":null}` {
		t.Errorf("got %s, %v", text, err)
	}
}

func TestNumbersAreShort(t *testing.T) {
	for value, want := range map[number]string{1234: "1234", 1234.56: "1234.6", 1.234: "1.23", 0.00123: "0.0012", 0: "0"} {
		if got := value.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestAPlotIsXMLAndNeitherEmptyNorHuge(t *testing.T) {
	long := line{name: "a < b & c"}
	for i := range 100_000 {
		long.points = append(long.points, point{float64(i), float64(i)})
	}
	for _, p := range []plot{{title: "nothing"}, {title: "long", lines: []line{long, {"flat", []point{{0, 0}, {1, 0}}}}}} {
		drawn := p.svg()
		decoder := xml.NewDecoder(strings.NewReader(drawn))
		for {
			_, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", p.title, err)
			}
		}
		if len(drawn) > 20_000 || strings.Contains(drawn, "NaN") || strings.Contains(drawn, "Inf") {
			t.Errorf("%s: %d bytes: %.300s", p.title, len(drawn), drawn)
		}
	}
}

func TestAnAxisGoesBeyondWhatIsThere(t *testing.T) {
	for most, want := range map[float64]axis{
		0: {1, 1}, 1: {0.2, 1}, 7: {2, 8}, 99: {20, 100}, 1200: {500, 1500}, 0.004: {0.001, 0.004},
	} {
		if got := axisTo(most); math.Abs(got.step-want.step) > 1e-9 || math.Abs(got.end-want.end) > 1e-9 {
			t.Errorf("%g: got %v, want %v", most, got, want)
		}
	}
}
