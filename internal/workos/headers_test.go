package workos_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

func TestRetryAfter(t *testing.T) {
	inTwoMinutes := epoch.Add(2 * time.Minute).Format(http.TimeFormat)
	for name, test := range map[string]struct {
		status int
		header []string
		want   time.Duration
	}{
		"429, seconds":              {429, []string{"Retry-After", "17"}, 17 * time.Second},
		"429, padded seconds":       {429, []string{"Retry-After", " 17 "}, 17 * time.Second},
		"429, date":                 {429, []string{"Retry-After", inTwoMinutes}, 2 * time.Minute},
		"429, date by its own Date": {429, []string{"Retry-After", inTwoMinutes, "Date", epoch.Add(90 * time.Second).Format(http.TimeFormat)}, 30 * time.Second},
		"429, old date format":      {429, []string{"Retry-After", epoch.Add(time.Minute).Format(time.RFC850)}, time.Minute},
		"429, none":                 {429, nil, time.Second},
		"429, zero":                 {429, []string{"Retry-After", "0"}, time.Second},
		"429, negative":             {429, []string{"Retry-After", "-5"}, time.Second},
		"429, nonsense":             {429, []string{"Retry-After", "soon"}, time.Second},
		"429, past date":            {429, []string{"Retry-After", epoch.Add(-time.Hour).Format(http.TimeFormat)}, time.Second},
		"429, a year":               {429, []string{"Retry-After", "31536000"}, time.Hour},
		"429, beyond all numbers":   {429, []string{"Retry-After", "99999999999999999999999"}, time.Hour},
		"429, below all numbers":    {429, []string{"Retry-After", "-99999999999999999999999"}, time.Second},
		"429, date in a year":       {429, []string{"Retry-After", epoch.AddDate(1, 0, 0).Format(http.TimeFormat)}, time.Hour},
		"503, seconds":              {503, []string{"Retry-After", "17"}, 17 * time.Second},
		"503, date":                 {503, []string{"Retry-After", inTwoMinutes}, 2 * time.Minute},
		"503, none":                 {503, nil, 0},
		"401":                       {401, []string{"Retry-After", "17"}, 30 * time.Second},
		"500 is not asked":          {500, []string{"Retry-After", "17"}, 0},
		"404 is not asked":          {404, []string{"Retry-After", "17"}, 0},
		"200 is not asked":          {200, []string{"Retry-After", "17"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := workos.Options{Transport: always(test.status, "", test.header...), Clock: steppedClock()}
			if got := ask(t, connectOnly(t, o, baseURL), alice).RetryAfter; got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestClockSkewIsTheUpstreamsLead(t *testing.T) {
	for name, test := range map[string]struct {
		date string
		want time.Duration
	}{
		"upstream ahead":  {epoch.Add(time.Minute).Format(http.TimeFormat), time.Minute},
		"upstream behind": {epoch.Add(-time.Hour).Format(http.TimeFormat), -time.Hour},
		"no date":         {"", 0},
		"nonsense":        {"yesterday", 0},
	} {
		t.Run(name, func(t *testing.T) {
			o := workos.Options{Transport: always(200, goodBody, "Date", test.date), Clock: steppedClock()}
			if got := ask(t, connectOnly(t, o, baseURL), alice).ClockSkew; got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestBusyConnectionHoldsNobodyElseBack(t *testing.T) {
	for name, test := range map[string]response{
		"409": {409, `{"code":"refresh_in_progress"}`},
		"503": {503, `{"code":"concurrent_request"}`},
	} {
		t.Run(name, func(t *testing.T) {
			o := workos.Options{Transport: always(test.status, test.body, "Retry-After", "600"), Clock: steppedClock()}
			client := connectOnly(t, o, baseURL)
			for n := range 20 {
				expect(t, ask(t, client, user(n)), workos.OutcomeBusy, true, 0)
			}
		})
	}
}

func TestCompressedAnswerIsNamed(t *testing.T) {
	for encoding, want := range map[string]workos.Outcome{
		"gzip": workos.OutcomeUnreadable, "br": workos.OutcomeUnreadable, "identity": workos.OutcomeToken, "Identity": workos.OutcomeToken, "": workos.OutcomeToken,
	} {
		o := workos.Options{Transport: always(200, goodBody, "Content-Encoding", encoding)}
		answer := ask(t, connectOnly(t, o, baseURL), alice)
		if answer.Outcome != want || want != workos.OutcomeToken && answer.Message != "the answer is compressed, which the request does not allow" {
			t.Errorf("%q: got %s %q", encoding, answer.Outcome, answer.Message)
		}
	}
	answer := ask(t, connectOnly(t, workos.Options{Transport: always(404, "\x1f\x8b\x00", "Content-Encoding", "gzip")}, baseURL), alice)
	if answer.Outcome != workos.OutcomeNotFound || answer.Message != "HTTP 404 Not Found" {
		t.Errorf("a compressed refusal: got %s %q", answer.Outcome, answer.Message)
	}
}
