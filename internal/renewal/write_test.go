package renewal_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

func TestWriteRetryStaysBelowThePromisedHalfMinute(t *testing.T) {
	for failures := 1; failures <= 100; failures++ {
		for crowd := range 5 {
			delay := renewal.WriteRetry(failures, 1, crowd, fmt.Sprint("uid-", crowd))
			if delay < time.Second || delay > 20*time.Second {
				t.Errorf("failure %d, %d wait: %s", failures, crowd, delay)
			}
		}
	}
}

// However many objects of a namespace wait, about four of them attempt a write within 20
// seconds.
func TestWriteRetryOfManyComesInTurns(t *testing.T) {
	for _, crowd := range []int{5, 20, 60} {
		soon, first := 0, time.Hour
		for i := range crowd {
			delay := renewal.WriteRetry(10, 0, crowd, fmt.Sprint("uid-", i))
			if delay > 10*time.Minute {
				t.Errorf("%d wait: one waits %s", crowd, delay)
			}
			if delay <= 20*time.Second {
				soon++
			}
			first = min(first, delay)
		}
		if soon > 10 || first > 30*time.Second {
			t.Errorf("%d wait: %d try within 20 s, the first after %s", crowd, soon, first)
		}
	}
}

func TestWriteRetryWaitsLongAfterTwoTokensThatCouldNotBeWritten(t *testing.T) {
	if delay := renewal.WriteRetry(2, 2, 1, "uid"); delay < 4*time.Minute || delay > 5*time.Minute {
		t.Errorf("waits %s", delay)
	}
}

func TestATokenIsUselessWhenAPodCouldHardlyUseIt(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for left, want := range map[time.Duration]bool{
		-time.Hour: true, 0: true, 14 * time.Second: true, 15 * time.Second: false, time.Hour: false,
	} {
		if got := renewal.Useless(now.Add(left), now); got != want {
			t.Errorf("with %s left: %v", left, got)
		}
	}
	if renewal.Useless(time.Time{}, now) {
		t.Error("a token without an expiry is useless")
	}
}
