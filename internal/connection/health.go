package connection

import (
	"math"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// Health is the report about a PipesEnvironment, apart from its Ready condition. It is reported
// once on the PipesEnvironment, instead of on each of its PipesTokens. A finding that is nil is
// not known yet: the condition stays as it was.
type Health struct {
	// Failing says why calls are held back.
	Failing *finding.Finding
	// Overload says that the requests per minute of the API key are not enough.
	Overload *finding.Finding
	// Clocks says that the clocks of WorkOS and of the operator differ.
	Clocks *finding.Finding
}

// settling is how long a process collects information about its PipesTokens and about WorkOS
// before it changes the reported conditions. Until then it may know only some of the renewals.
const settling = time.Minute

// Health returns the health of an environment whose renewals need perMinute requests per minute.
// A reported overload stays until 5 % of the limit is free.
func (r *Registry) Health(environment *v1alpha1.PipesEnvironment, perMinute float64, now time.Time) Health {
	name := client.ObjectKeyFromObject(environment)
	overloaded := meta.IsStatusConditionTrue(environment.Status.Conditions, v1alpha1.BudgetTooSmallCondition)
	r.mu.Lock()
	defer r.mu.Unlock()
	told := Health{Failing: &finding.Finding{}, Overload: &finding.Finding{}}
	state, ok := r.known[name]
	if !ok {
		return told
	}
	told.Clocks = clockSkewed(state.clocks.skew, skewIsTold(environment), now)
	if state.client == nil {
		return told
	}
	if state.upstream.since.IsZero() {
		state.upstream.since = now
	}
	if state.upstream.first.IsZero() {
		state.upstream.first = now
	}
	const room = 0.95
	switch together, limit := state.client.Need(perMinute); {
	case overloaded && now.Sub(state.upstream.first) < settling:
		told.Overload = nil
	case together > float64(limit) || overloaded && together > room*float64(limit):
		told.Overload = r.tooMany(together, limit)
	}
	if trouble, troubled := state.client.Trouble(); troubled {
		told.Failing = troubleOf(trouble)
	} else if !state.upstream.heard && now.Sub(state.upstream.since) < settling {
		told.Failing = nil
	}
	return told
}

func (r *Registry) tooMany(needed float64, limit int) *finding.Finding {
	whose := "this API key may make"
	if r.Share > 0 && r.Share < 1 {
		whose = "with this API key this shard may make"
	}
	return ptr.To(finding.Newf(v1alpha1.RenewalsExceedBudgetReason,
		"Renewals need about %s requests a minute, and %s %d, so that tokens will expire before they are renewed: "+
			"raise requestsPerMinute as far as WorkOS allows, or spread the PipesTokens over several API keys",
		roughly(needed), whose, limit))
}

// troubleOf returns the finding for a trouble. Its message stays the same while the trouble
// lasts, and contains nothing that WorkOS has said to one PipesToken.
func troubleOf(trouble workos.Trouble) *finding.Finding {
	switch {
	case trouble.Outcome == workos.OutcomeRateLimited && trouble.Until.IsZero():
		return ptr.To(finding.New(v1alpha1.RateLimitedReason,
			"WorkOS limits the rate of this API key, so fewer requests are made for a minute; tokens that are valid stay"))
	case trouble.Outcome == workos.OutcomeRateLimited:
		return ptr.To(finding.New(v1alpha1.RateLimitedReason,
			"WorkOS limits the rate of this API key, so no request is made"+
				" until "+finding.Instant(trouble.Until)+"; tokens that are valid stay"))
	case !trouble.Until.IsZero():
		return ptr.To(finding.New(v1alpha1.UpstreamUnavailableReason,
			"WorkOS is unavailable and has asked to wait, so no request is made"+
				" until "+finding.Instant(trouble.Until)+"; tokens that are valid stay"))
	default:
		return ptr.To(finding.New(v1alpha1.UpstreamUnavailableReason,
			"WorkOS cannot be reached, or fails for an integration, "+
				"so that one request at a time finds out when it is back; tokens that are valid stay"))
	}
}

// roughly rounds a number up to two significant digits, so that small changes do not cause a
// write of the status.
func roughly(n float64) string {
	step := math.Pow(10, max(0, math.Floor(math.Log10(max(n, 1)))-1))
	return strconv.FormatFloat(math.Ceil(n/step)*step, 'f', 0, 64)
}
