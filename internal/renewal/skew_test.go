package renewal_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// sample is that of an answer within 100 ms, when the other clock is ahead by skew.
func sample(at time.Time, skew time.Duration) renewal.Sample {
	date := at.Add(skew).Truncate(time.Second)
	return renewal.Sample{AtLeast: date.Sub(at), AtMost: date.Add(time.Second).Sub(at.Add(-100 * time.Millisecond)), At: at}
}

func TestSkewIsThatOfTheFirstSampleAndOfWhatTheNextOnesShow(t *testing.T) {
	const minute = time.Minute
	for name, test := range map[string]struct {
		samples []time.Duration
		want    time.Duration
	}{
		"none":                                      {nil, 0},
		"no skew":                                   {[]time.Duration{0, 0, 0}, 0},
		"less than half a second":                   {[]time.Duration{400 * time.Millisecond}, 0},
		"five hours ahead":                          {[]time.Duration{5 * time.Hour}, 5 * time.Hour},
		"five hours behind":                         {[]time.Duration{-5 * time.Hour}, -5 * time.Hour},
		"one answer from further behind":            {[]time.Duration{0, -minute, 0, -minute, 0}, 0},
		"two answers from further behind":           {[]time.Duration{0, -minute, -minute}, -minute},
		"two that do not agree":                     {[]time.Duration{0, -minute, -2 * minute}, 0},
		"one answer from further ahead":             {[]time.Duration{0, minute}, minute},
		"one answer from further ahead, by mistake": {[]time.Duration{0, minute, 0, 0}, 0},
		"a clock of another century":                {[]time.Duration{-50 * 365 * 24 * time.Hour, 0}, 0},
		"a clock of the next year":                  {[]time.Duration{365 * 24 * time.Hour}, 0},
		"a day of drift, by the bit":                {drift(24*60, 100*time.Millisecond), 144 * time.Second},
		"a day of drift, the other way":             {drift(24*60, -100*time.Millisecond), -144 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var skew renewal.Skew
			now := time.Date(2026, time.November, 30, 12, 0, 0, 300_000_000, time.UTC)
			for _, by := range test.samples {
				skew.Learn(sample(now, by))
				now = now.Add(time.Minute + 77*time.Millisecond)
			}
			if got := skew.At(now); (got-test.want).Abs() > 1600*time.Millisecond || test.want == 0 && got.Abs() > 700*time.Millisecond {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// drift is a sample a minute of a clock that gains so much in each.
func drift(minutes int, each time.Duration) []time.Duration {
	samples := make([]time.Duration, minutes)
	for n := range samples {
		samples[n] = time.Duration(n+1) * each
	}
	return samples
}

// An answer that has taken long tells little, and a little is enough to keep what is known.
func TestSlowAnswerDoesNotMoveTheSkew(t *testing.T) {
	var skew renewal.Skew
	now := time.Now().Round(0)
	for range 5 {
		skew.Learn(renewal.Sample{AtLeast: -10 * time.Second, AtMost: time.Second, At: now})
	}
	if got := skew.At(now); got != 0 {
		t.Errorf("got %v", got)
	}
}

func TestClockThatIsSetIsNoticedWithoutASample(t *testing.T) {
	var skew renewal.Skew
	begin := time.Now()
	skew.Learn(sample(begin, 0))
	for by, want := range map[time.Duration]time.Duration{
		0: 0, -time.Hour: time.Hour, time.Hour: 0, // which may have been a sleep of the machine
	} {
		now := set(begin.Add(time.Minute), by)
		if got := skew.At(now); got != want {
			t.Errorf("set by %v: got %v, want %v", by, got, want)
		}
		if got := skew.At(now.Round(0)); by == 0 && got != 0 {
			t.Errorf("got %v without a monotonic reading", got)
		}
	}
}

// set is what time.Now returns after the clock has been set: its wall time moves, and its monotonic
// reading does not.
func set(now time.Time, by time.Duration) time.Time {
	wall := (*uint64)(unsafe.Pointer(&now)) // seconds from bit 30 on
	*wall += uint64(int64(by/time.Second)) << 30
	return now
}

func FuzzSkew(f *testing.F) {
	f.Add(int64(0), int64(0), int64(0))
	f.Add(int64(6*time.Hour), int64(-6*time.Hour), int64(time.Second))
	f.Fuzz(func(t *testing.T, first, second, width int64) {
		const widest = int64(time.Minute)
		var skew renewal.Skew
		now := time.Date(2026, time.November, 30, 12, 0, 0, 0, time.UTC)
		within := func(by int64) renewal.Sample {
			by %= int64(20 * time.Hour)
			half := time.Duration(max(width%widest, -(width%widest))) / 2
			return renewal.Sample{AtLeast: time.Duration(by) - half, AtMost: time.Duration(by) + half, At: now}
		}
		for _, by := range []int64{first, second, second} { // two, since the first one may be ahead of both
			skew.Learn(within(by))
		}
		last := within(second)
		if got := skew.At(now); got < last.AtLeast-time.Second || got > last.AtMost+time.Second {
			t.Errorf("two samples say %v to %v, and the skew is %v", last.AtLeast, last.AtMost, got)
		}
	})
}
