package renewal_test

import (
	"math"
	"math/rand"
	"strconv"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/renewal"
)

// start is when the tokens of these tests are obtained.
var start = time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC)

// livingFor returns a token that was obtained at start.
func livingFor(lifetime time.Duration, seed string) renewal.Token {
	return renewal.Token{Obtained: start, Expires: start.Add(lifetime), Seed: seed}
}

// seeds returns n seeds that differ only in their last characters, like UIDs that are made at
// the same moment.
func seeds(n int) []string {
	seeds := make([]string, n)
	for i := range seeds {
		seeds[i] = "0d9f7a52-5b0e-4f0c-9f53-" + strconv.Itoa(100000000000+i)
	}
	return seeds
}

func TestTimeLeavesALeadAndPostponesItByAtMostAFifth(t *testing.T) {
	for name, test := range map[string]struct{ lifetime, renewBefore, lead time.Duration }{
		"a fifth of an hour":                         {time.Hour, 0, 12 * time.Minute},
		"a fifth of twenty minutes":                  {20 * time.Minute, 0, 4 * time.Minute},
		"a fifth, at most 30 minutes":                {8 * time.Hour, 0, 30 * time.Minute},
		"30 minutes of 30 days":                      {30 * 24 * time.Hour, 0, 30 * time.Minute},
		"a fifth that is 30 minutes":                 {150 * time.Minute, 0, 30 * time.Minute},
		"a fifth, at least 2 minutes":                {5 * time.Minute, 0, 2 * time.Minute},
		"2 minutes, at most half of 3 minutes":       {3 * time.Minute, 0, 90 * time.Second},
		"half of a minute":                           {time.Minute, 0, 30 * time.Second},
		"half of 12 seconds":                         {12 * time.Second, 0, 6 * time.Second},
		"renewBefore":                                {time.Hour, 20 * time.Minute, 20 * time.Minute},
		"renewBefore of less than the default":       {time.Hour, 10 * time.Second, 10 * time.Second},
		"renewBefore of more than 30 minutes":        {24 * time.Hour, 6 * time.Hour, 6 * time.Hour},
		"renewBefore, at most half of the lifetime":  {time.Hour, 45 * time.Minute, 30 * time.Minute},
		"renewBefore longer than the lifetime":       {time.Hour, 24 * time.Hour, 30 * time.Minute},
		"renewBefore below zero, which says nothing": {time.Hour, -time.Minute, 12 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			least, most := time.Duration(math.MaxInt64), time.Duration(0)
			for _, seed := range seeds(500) {
				token := livingFor(test.lifetime, seed)
				lead := token.Expires.Sub(renewal.Time(token, test.renewBefore))
				least, most = min(least, lead), max(most, lead)
			}
			// The jitter uses its whole range and no more. 500 draws may leave out a fiftieth
			// at either end.
			slack := test.lead/50 + time.Second
			if most > test.lead || most < test.lead-slack {
				t.Errorf("the longest lead is %v, want %v", most, test.lead)
			}
			if shortest := test.lead * 4 / 5; least < shortest-time.Second || least > shortest+slack {
				t.Errorf("the shortest lead is %v, want %v", least, shortest)
			}
		})
	}
}

func TestTimeJittersStably(t *testing.T) {
	const lifetime = 8 * time.Hour
	distinct := map[time.Time]bool{}
	tenths := map[int]int{}
	for _, seed := range seeds(1000) {
		token := livingFor(lifetime, seed)
		at := renewal.Time(token, 0)
		if again := renewal.Time(token, 0); !again.Equal(at) {
			t.Fatalf("the renewal of one token moved from %v to %v", at, again)
		}
		distinct[at] = true
		tenths[int(at.Sub(token.Expires.Add(-30*time.Minute))*10/(6*time.Minute))]++
	}
	if len(distinct) < 300 { // of 360 whole seconds in six minutes
		t.Errorf("1000 objects are renewed at only %d instants", len(distinct))
	}
	for tenth := range 10 {
		if tenths[tenth] < 60 || tenths[tenth] > 140 {
			t.Errorf("%d of 1000 objects are renewed in tenth %d of the jitter", tenths[tenth], tenth)
		}
	}
}

func TestTimeJittersEachTokenOfAnObjectAnew(t *testing.T) {
	leads := map[time.Duration]bool{}
	for round := range 20 {
		token := livingFor(8*time.Hour, "uid")
		token.Obtained = token.Obtained.Add(time.Duration(round) * 8 * time.Hour)
		token.Expires = token.Expires.Add(time.Duration(round) * 8 * time.Hour)
		leads[token.Expires.Sub(renewal.Time(token, 0))] = true
	}
	if len(leads) < 15 {
		t.Errorf("20 tokens of one object have only %d different leads", len(leads))
	}
}

func TestTimeOfATokenWithoutExpiryIsNever(t *testing.T) {
	if at := renewal.Time(renewal.Token{Obtained: start, Seed: "uid"}, 10*time.Minute); !at.IsZero() {
		t.Errorf("got %v, want never", at)
	}
}

func TestTimeIsNeverSoonerThanMinIntervalAfterATokenWasObtained(t *testing.T) {
	for _, lifetime := range []time.Duration{
		-time.Hour, -time.Second, 0, time.Millisecond, time.Second, 4 * time.Second, 5 * time.Second, 9 * time.Second,
	} {
		if at, want := renewal.Time(livingFor(lifetime, "uid"), 0), start.Add(renewal.MinInterval); !at.Equal(want) {
			t.Errorf("a token that lives for %v is renewed %v after it was obtained, want %v", lifetime, at.Sub(start), renewal.MinInterval)
		}
	}
}

// A renewal lies within the life of the token. The only exception is a life shorter than
// MinInterval.
func TestTimeLiesWithinTheTokensLife(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	for range 20000 {
		lifetime := time.Second + time.Duration(random.Int63n(int64(30*24*time.Hour)))
		if random.Intn(2) == 0 {
			lifetime = time.Second + time.Duration(random.Int63n(int64(10*time.Minute)))
		}
		token := livingFor(lifetime, strconv.Itoa(random.Int()))
		// The clock of the operator and the clock of WorkOS both have fractions of a second.
		token.Obtained = token.Obtained.Add(time.Duration(random.Int63n(int64(time.Second))))
		token.Expires = token.Expires.Add(time.Duration(random.Int63n(int64(time.Second))))
		renewBefore := time.Duration(random.Int63n(2) * random.Int63n(int64(24*time.Hour)))

		at := renewal.Time(token, renewBefore)
		obtained, expires := token.Obtained.Truncate(time.Second), token.Expires
		switch {
		case at.Nanosecond() != 0 && !at.Equal(token.Expires):
			t.Fatalf("%v is not a whole second", at)
		case at.Before(obtained.Add(renewal.MinInterval)):
			t.Fatalf("a token of %v is renewed %v after it was obtained", lifetime, at.Sub(obtained))
		case at.After(expires) && !at.Equal(obtained.Add(renewal.MinInterval)):
			t.Fatalf("a token of %v is renewed %v after its expiry", lifetime, at.Sub(expires))
		case lifetime > 2*renewal.MinInterval && at.Sub(obtained) < lifetime/2-time.Second:
			t.Fatalf("a token of %v is renewed in the first half of its life, after %v", lifetime, at.Sub(obtained))
		}
	}
}

// Of two tokens obtained at the same time, the one with the clearly longer life is renewed
// later. Jitter never changes that order.
func TestTimeGrowsWithTheLifetime(t *testing.T) {
	for _, seed := range seeds(50) {
		before := renewal.Time(livingFor(time.Second, seed), 0)
		for lifetime := 2 * time.Second; lifetime < 30*24*time.Hour; lifetime = lifetime * 3 / 2 {
			at := renewal.Time(livingFor(lifetime, seed), 0)
			if at.Before(before) {
				t.Fatalf("a token of %v is renewed %v sooner than a shorter one", lifetime, before.Sub(at))
			}
			before = at
		}
	}
}

func TestProbeWaitsForHalfOfWhatIsLeft(t *testing.T) {
	for name, test := range map[string]struct{ left, wait time.Duration }{
		"half":                               {10 * time.Minute, 5 * time.Minute},
		"half, cut to a whole second":        {75 * time.Second, 37 * time.Second},
		"half that is 15 seconds":            {30 * time.Second, 15 * time.Second},
		"at least 15 seconds":                {29 * time.Second, 15 * time.Second},
		"15 seconds, as far from expiry":     {20 * time.Second, 15 * time.Second},
		"at expiry, rather than just before": {19 * time.Second, 19 * time.Second},
		"at expiry, 15 seconds from now":     {15 * time.Second, 15 * time.Second},
		"at expiry, sooner":                  {7 * time.Second, 7 * time.Second},
		"at expiry, in a second":             {time.Second, time.Second},
		"at expiry, in less":                 {time.Millisecond, time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			if got := renewal.Probe(renewal.Token{Expires: start.Add(test.left), Seed: "uid"}, start, 0, renewal.Estimate{}, renewal.Estimate{}).Sub(start); got != test.wait {
				t.Errorf("with %v left, got %v, want %v", test.left, got, test.wait)
			}
		})
	}
}

// WorkOS's own emulator returns the same token until it has expired.
func TestProbesOfATokenThatStaysTheSame(t *testing.T) {
	expires := start.Add(10 * time.Minute)
	now := start
	for i, want := range []time.Duration{
		5 * time.Minute, 150 * time.Second, 75 * time.Second, 37 * time.Second, 19 * time.Second, 19 * time.Second,
	} {
		next := renewal.Probe(renewal.Token{Expires: expires, Seed: "uid"}, now, 0, renewal.Estimate{}, renewal.Estimate{})
		if next.Sub(now) != want {
			t.Errorf("probe %d comes after %v, want %v", i+1, next.Sub(now), want)
		}
		now = next
	}
	if !now.Equal(expires) {
		t.Errorf("the last probe of a valid token comes %v before it expires, want at that very second", expires.Sub(now))
	}
	for failures := 1; failures < 12; failures++ {
		next := renewal.Probe(renewal.Token{Expires: expires, Seed: "uid"}, now, failures, renewal.Estimate{}, renewal.Estimate{})
		if want := renewal.Backoff(failures, "uid"); next.Sub(now) != want {
			t.Errorf("probe %d after expiry comes after %v, want the back-off %v", failures, next.Sub(now), want)
		}
		now = next
	}
}

func TestBackoffDoublesUpToFiveMinutes(t *testing.T) {
	for _, test := range []struct {
		failures int
		// The jitter takes off up to a fifth. The rest is rounded up to whole seconds.
		least, most time.Duration
	}{
		{math.MinInt32, 2 * time.Second, 2 * time.Second},
		{-1, 2 * time.Second, 2 * time.Second},
		{0, 2 * time.Second, 2 * time.Second},
		{1, 2 * time.Second, 2 * time.Second},
		{2, 4 * time.Second, 4 * time.Second},
		{3, 7 * time.Second, 8 * time.Second},
		{4, 13 * time.Second, 16 * time.Second},
		{5, 26 * time.Second, 32 * time.Second},
		{6, 52 * time.Second, 64 * time.Second},
		{7, 103 * time.Second, 128 * time.Second},
		{8, 205 * time.Second, 256 * time.Second},
		{9, 241 * time.Second, 300 * time.Second},
		{10, 241 * time.Second, 300 * time.Second},
		{1000, 241 * time.Second, 300 * time.Second},
		{math.MaxInt, 241 * time.Second, 300 * time.Second},
	} {
		shortest, longest := time.Duration(math.MaxInt64), time.Duration(0)
		for _, seed := range seeds(500) {
			delay := renewal.Backoff(test.failures, seed)
			if delay != renewal.Backoff(test.failures, seed) || delay%time.Second != 0 {
				t.Fatalf("the delay %v after %d failures is not stable, or no whole second", delay, test.failures)
			}
			shortest, longest = min(shortest, delay), max(longest, delay)
		}
		// Hardly any draw reaches the lower end.
		if shortest < test.least || shortest > test.least+test.least/50 {
			t.Errorf("after %d failures the shortest delay is %v, want %v", test.failures, shortest, test.least)
		}
		if longest > test.most || longest < test.most-test.most/50-time.Second {
			t.Errorf("after %d failures the longest delay is %v, want %v", test.failures, longest, test.most)
		}
	}
}

func TestRetryBacksOffUpToExpiryOrAsWorkOSAsks(t *testing.T) {
	later := func(d time.Duration) time.Time { return start.Add(d) }
	backoff := renewal.Backoff(6, "uid") // about a minute
	for name, test := range map[string]struct {
		expires    time.Time
		retryAfter time.Duration
		want       time.Duration
	}{
		"backs off":                                        {later(time.Hour), 0, backoff},
		"comes at expiry at the latest":                    {later(20 * time.Second), 0, 20 * time.Second},
		"comes at expiry, however soon":                    {later(time.Millisecond), 0, time.Millisecond},
		"backs off after expiry":                           {later(-time.Second), 0, backoff},
		"backs off at the instant of expiry":               {start, 0, backoff},
		"backs off without an expiry":                      {time.Time{}, 0, backoff},
		"has the patience that WorkOS asks for":            {later(time.Hour), 10 * time.Minute, 10 * time.Minute},
		"has it without an expiry":                         {time.Time{}, 10 * time.Minute, 10 * time.Minute},
		"has it even past expiry":                          {later(20 * time.Second), 10 * time.Minute, 10 * time.Minute},
		"backs off for longer than WorkOS asks":            {later(time.Hour), time.Second, backoff},
		"does not come before WorkOS asks, then at expiry": {later(20 * time.Second), 10 * time.Second, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := renewal.Retry(start, test.expires, 6, test.retryAfter, "uid").Sub(start); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}

func TestSlowPollIsFreshAfterTheChangeAndPatientLater(t *testing.T) {
	for since, want := range map[time.Duration]time.Duration{
		-time.Hour:                              30 * time.Second, // a clock that was set back
		0:                                       30 * time.Second,
		149 * time.Second:                       30 * time.Second,
		150 * time.Second:                       30 * time.Second,
		5 * time.Minute:                         time.Minute,
		301 * time.Second:                       time.Minute, // whole seconds
		30 * time.Minute:                        6 * time.Minute,
		50 * time.Minute:                        10 * time.Minute,
		51 * time.Minute:                        10 * time.Minute,
		365 * 24 * time.Hour:                    10 * time.Minute,
		start.Sub(time.Unix(0, 0)):              10 * time.Minute, // the CRD's default
		start.Sub(time.Time{}):                  10 * time.Minute, // as long as a Duration can be
		150*time.Second + 5*999*time.Nanosecond: 30 * time.Second,
	} {
		if got := renewal.SlowPoll(start, start.Add(-since)); got != want {
			t.Errorf("%v after the change, got %v, want %v", since, got, want)
		}
	}
}

func TestNextRefreshIsTheNextRoundAfterTheLastLook(t *testing.T) {
	token := renewal.Token{Obtained: start, Seed: "uid"}
	first := renewal.NextRefresh(token, start, time.Hour)
	if first.Before(start.Add(48*time.Minute)) || first.After(start.Add(time.Hour)) {
		t.Fatalf("the first look comes after %v, want 48 to 60 minutes", first.Sub(start))
	}
	for name, test := range map[string]struct {
		last time.Time
		want time.Time
	}{
		"obtained":                            {start, first},
		"looked at on demand before":          {first.Add(-time.Nanosecond), first},
		"looked at in time":                   {first, first.Add(time.Hour)},
		"looked at late":                      {first.Add(59 * time.Minute), first.Add(time.Hour)},
		"looked at a nanosecond before":       {first.Add(time.Hour - 1), first.Add(time.Hour)},
		"looked at in the second round":       {first.Add(time.Hour), first.Add(2 * time.Hour)},
		"looked at after a week of downtime":  {first.Add(7*24*time.Hour + time.Minute), first.Add(7*24*time.Hour + time.Hour)},
		"never looked at, the clock set back": {start.Add(-time.Hour), first},
	} {
		t.Run(name, func(t *testing.T) {
			if got := renewal.NextRefresh(token, test.last, time.Hour); !got.Equal(test.want) {
				t.Errorf("got %v, want %v", got.Sub(start), test.want.Sub(start))
			}
		})
	}
}

// NextRefresh needs no state except last, always moves forward, and leaves out no interval.
func TestNextRefreshMovesOnByRounds(t *testing.T) {
	random := rand.New(rand.NewSource(2))
	for range 5000 {
		// The CRD allows intervals with fractions of a second. A shorter interval comes only
		// from an object that is older than the bounds in the CRD.
		interval := time.Duration(random.Int63n(int64(24 * time.Hour)))
		token := renewal.Token{Obtained: start.Add(time.Duration(random.Int63n(int64(time.Second)))), Seed: strconv.Itoa(random.Int())}
		last := token.Obtained.Add(time.Duration(random.Int63n(int64(30 * 24 * time.Hour))))
		round := max(interval.Truncate(time.Second), renewal.MinInterval)

		next := renewal.NextRefresh(token, last, interval)
		switch {
		case !next.After(last):
			t.Fatalf("after a look at %v the next is at %v: due again at once", last, next)
		case next.Nanosecond() != 0:
			t.Fatalf("%v is not a whole second", next)
		case next.Sub(last) > round:
			t.Fatalf("interval %v: the next look comes %v after the last", interval, next.Sub(last))
		}
		// A late refresh does not delay the next one.
		late := next.Add(time.Duration(random.Int63n(int64(round))))
		if after := renewal.NextRefresh(token, late, interval); after.Sub(next) != round {
			t.Fatalf("interval %v: rounds are %v apart", interval, after.Sub(next))
		}
	}
}

func TestNextRefreshSpreadsTokensThatWereObtainedTogether(t *testing.T) {
	distinct := map[time.Time]bool{}
	for _, seed := range seeds(500) {
		distinct[renewal.NextRefresh(renewal.Token{Obtained: start, Seed: seed}, start, time.Hour)] = true
	}
	if len(distinct) < 300 { // of 720 whole seconds in twelve minutes
		t.Errorf("500 tokens share %d instants", len(distinct))
	}
}

func TestNextRefreshSurvivesAnIntervalThatTheCRDWouldRefuse(t *testing.T) {
	for _, interval := range []time.Duration{-time.Hour, 0, time.Nanosecond, time.Second} {
		next := renewal.NextRefresh(renewal.Token{Obtained: start, Seed: "uid"}, start.Add(time.Hour), interval)
		if wait := next.Sub(start.Add(time.Hour)); wait <= 0 || wait > renewal.MinInterval {
			t.Errorf("interval %v: the next look comes after %v", interval, wait)
		}
	}
}

func TestCatchUpIsForThoseFirstWhoHaveWaitedLongest(t *testing.T) {
	in := func(d time.Duration) time.Time { return start.Add(d) }
	const s = time.Second
	for name, test := range map[string]struct{ now, due, expires, want time.Duration }{
		"just due":                             {0, 0, time.Hour, 3 * s},
		"due since":                            {s, s, time.Hour, 2 * s},
		"due for ten seconds":                  {0, -10 * s, time.Hour, 1500 * time.Millisecond},
		"due for 20 seconds":                   {0, -20 * s, time.Hour, s},
		"due for 20 seconds, seen a bit later": {s / 2, -20 * s, time.Hour, s / 2},
		"due for 20 seconds, seen later":       {10 * s, -20 * s, time.Hour, 0},
		"just due, and about to expire":        {0, 0, 2 * s, s},
		"expired":                              {0, -time.Hour, -s, 0},
		"the clock has been set back":          {-time.Hour, -2 * time.Hour, time.Hour, 0},
	} {
		if got := renewal.CatchUp(in(test.now), start, in(test.due), in(test.expires)).Sub(in(test.now)); got != test.want {
			t.Errorf("%s: caught up with after %v, want %v", name, got, test.want)
		}
	}
}

func TestWaitIsForTheEarliestInstantAndBounded(t *testing.T) {
	never := time.Time{}
	in := func(d time.Duration) time.Time { return start.Add(d) }
	for name, test := range map[string]struct {
		instants []time.Time
		want     time.Duration
	}{
		"nothing to wait for":       {nil, 30 * time.Minute},
		"only what never comes":     {[]time.Time{never, never}, 30 * time.Minute},
		"the earliest":              {[]time.Time{in(10 * time.Minute), in(time.Minute), in(5 * time.Minute)}, time.Minute},
		"the earliest that comes":   {[]time.Time{never, in(time.Minute), never}, time.Minute},
		"at most the ceiling":       {[]time.Time{in(31 * time.Minute)}, 30 * time.Minute},
		"at most, for what is far":  {[]time.Time{in(math.MaxInt64)}, 30 * time.Minute},
		"what is due now":           {[]time.Time{start, in(time.Minute)}, time.Millisecond},
		"what is overdue":           {[]time.Time{in(-time.Hour)}, time.Millisecond},
		"what is overdue for long":  {[]time.Time{in(math.MinInt64)}, time.Millisecond},
		"what is nearly due":        {[]time.Time{in(time.Microsecond)}, time.Millisecond},
		"fractions are waited for":  {[]time.Time{in(1500 * time.Microsecond)}, 1500 * time.Microsecond},
		"the ceiling is 30 minutes": {[]time.Time{in(time.Hour)}, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if got := renewal.Wait(start, test.instants...); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
