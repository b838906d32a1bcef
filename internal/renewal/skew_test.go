package renewal_test

import (
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/test/harness/walltime"
)

// sample returns the sample of an answer that took 100 ms, from a clock that is ahead by skew.
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
		"five hours behind, once":                   {[]time.Duration{-5 * time.Hour}, 0},
		"five hours behind":                         {[]time.Duration{-5 * time.Hour, -5 * time.Hour, -5 * time.Hour}, -5 * time.Hour},
		"two answers from further behind":           {[]time.Duration{0, -minute, -minute, 0}, 0},
		"now and then one from further behind":      {[]time.Duration{0, -minute, -minute, 0, -minute, -minute}, 0},
		"three answers from further behind":         {[]time.Duration{0, -minute, -minute, -minute}, -minute},
		"three that do not agree":                   {[]time.Duration{0, -minute, -2 * minute, -minute}, 0},
		"one answer from further ahead":             {[]time.Duration{0, minute}, minute},
		"one answer from further ahead, by mistake": {[]time.Duration{0, minute, 0}, 0},
		"ahead, and then no longer":                 {[]time.Duration{minute, minute, minute, 0, 0, 0}, 0},
		"a clock of another century":                {[]time.Duration{-50 * 365 * 24 * time.Hour, 0}, 0},
		"a clock of the next year":                  {[]time.Duration{365 * 24 * time.Hour}, 0},
		"a day of drift, by the bit":                {drift(24*60, 100*time.Millisecond), 144 * time.Second},
		"a day of drift, the other way":             {drift(24*60, -100*time.Millisecond), -144 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var skew renewal.Skew
			now := time.Date(2026, time.November, 30, 12, 0, 0, 300_000_000, time.UTC)
			for _, by := range test.samples {
				skew.Learn(sample(now, by), false)
				now = now.Add(time.Minute + 77*time.Millisecond)
			}
			if got := skew.At(now); (got-test.want).Abs() > 1600*time.Millisecond || test.want == 0 && got.Abs() > 700*time.Millisecond {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

// drift returns one sample per minute of a clock that gains each in every minute.
func drift(minutes int, each time.Duration) []time.Duration {
	samples := make([]time.Duration, minutes)
	for n := range samples {
		samples[n] = time.Duration(n+1) * each
	}
	return samples
}

// A slow answer gives a wide span. A wide span does not contradict the known skew.
func TestSlowAnswerDoesNotMoveTheSkew(t *testing.T) {
	var skew renewal.Skew
	now := time.Now().Round(0)
	for range 5 {
		skew.Learn(renewal.Sample{AtLeast: -10 * time.Second, AtMost: time.Second, At: now}, false)
	}
	if got := skew.At(now); got != 0 {
		t.Errorf("got %v", got)
	}
}

func TestClockThatIsSetIsNoticedWithoutASample(t *testing.T) {
	var skew renewal.Skew
	begin := time.Now()
	skew.Learn(sample(begin, 0), false)
	for by, want := range map[time.Duration]time.Duration{
		// A clock that seems to be set forward may be that of a machine that was suspended.
		0: 0, -time.Hour: time.Hour, time.Hour: 0,
	} {
		now := walltime.Set(begin.Add(time.Minute), begin.Add(time.Minute+by))
		if got := skew.At(now); got != want {
			t.Errorf("set by %v: got %v, want %v", by, got, want)
		}
		if got := skew.At(now.Round(0)); by == 0 && got != 0 {
			t.Errorf("got %v without a monotonic reading", got)
		}
	}
}

// Answers within one second settle nothing, however many they are.
func TestManyAnswersAtOnceSettleNothing(t *testing.T) {
	var skew renewal.Skew
	now := time.Now().Round(0)
	for range 1000 {
		skew.Learn(sample(now, -time.Hour), false)
		now = now.Add(50 * time.Millisecond)
	}
	if got := skew.At(now); got != 0 {
		t.Errorf("got %v", got)
	}
	skew.Learn(sample(now.Add(11*time.Second), -time.Hour), false)
	if got := skew.At(now); got > -time.Hour+2*time.Second {
		t.Errorf("got %v a minute after the first", got)
	}
}

func TestExpectedSkewIsSettledAtOnce(t *testing.T) {
	var skew renewal.Skew
	now := time.Now().Round(0)
	skew.Learn(sample(now, -time.Hour), true)
	if got := skew.At(now); got > -time.Hour+2*time.Second {
		t.Errorf("got %v", got)
	}
	skew.Learn(sample(now, -2*time.Hour), true)
	if got := skew.At(now); got < -time.Hour-2*time.Second {
		t.Errorf("only the first sample is expected, and the second one made it %v", got)
	}
}

// FuzzSkew checks that answers which agree for long enough are believed, whatever came before.
// Until then, nothing moves the skew back.
func FuzzSkew(f *testing.F) {
	f.Add(int64(0), int64(0), uint8(3), uint8(30))
	f.Add(int64(6*time.Hour), int64(-6*time.Hour), uint8(2), uint8(90))
	f.Fuzz(func(t *testing.T, first, last int64, samples, seconds uint8) {
		bounded := func(by int64) time.Duration { return time.Duration(by % int64(20*time.Hour)) }
		var skew renewal.Skew
		now := time.Date(2026, time.November, 30, 12, 0, 0, 0, time.UTC)
		learn := func(by time.Duration) {
			skew.Learn(renewal.Sample{AtLeast: by, AtMost: by + time.Second, At: now}, false)
		}
		learn(bounded(first))
		before, begin := skew.At(now), now
		for range samples {
			learn(bounded(last))
			now = now.Add(time.Duration(seconds) * time.Second)
		}
		spent := now.Sub(begin) - time.Duration(seconds)*time.Second
		got, said := skew.At(now), bounded(last)
		agrees := (got - said).Abs() <= 2*time.Second
		switch {
		case samples > 2 && spent >= time.Minute && !agrees:
			t.Errorf("%d answers within %v say %v, and the skew is %v", samples, spent, said, got)
		case samples < 3 && got < min(before, 0):
			t.Errorf("%d answers have moved the skew from %v to %v", samples, before, got)
		}
	})
}
