package controllers

import (
	"math"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// health is the report about a PipesEnvironment, apart from its Ready condition. It is reported
// once on the PipesEnvironment, instead of on each of its PipesTokens. A finding that is nil is
// not known yet: the condition stays as it was.
type health struct {
	// failing: why calls are held back. overload: the requests per minute of the API key are not
	// enough. clocks: the clocks of WorkOS and of the operator differ.
	failing, overload, clocks *finding.Finding
}

// troubles are the types of the conditions for the fields of health, in the same order. Each
// condition exists only while it has a problem to report.
var troubles = []string{
	v1alpha1.UpstreamFailingCondition,
	v1alpha1.BudgetTooSmallCondition,
	v1alpha1.ClockSkewedCondition,
}

func (h health) conditions(before []metav1.Condition) (all []metav1.Condition) {
	for i, found := range []*finding.Finding{h.failing, h.overload, h.clocks} {
		switch told := meta.FindStatusCondition(before, troubles[i]); {
		case found == nil && told != nil:
			all = append(all, *told)
		case found != nil && found.Present():
			all = append(all, conditions.Of(troubles[i], metav1.ConditionTrue, *found))
		}
	}
	return all
}

// health returns the health of an environment. It depends on the requests that the PipesTokens
// of the environment need, and on the answers of WorkOS to them.
func (r *PipesEnvironmentReconciler) health(environment *v1alpha1.PipesEnvironment, now time.Time) health {
	name := client.ObjectKeyFromObject(environment)
	needed := r.Metrics.Demand(name, now)
	r.Metrics.Budget(name, needed, r.Connections.requestsPerMinute(environment))
	overloaded := meta.IsStatusConditionTrue(environment.Status.Conditions, v1alpha1.BudgetTooSmallCondition)
	told := r.Connections.health(name, needed, overloaded, now)
	told.clocks = r.Connections.clocks(name, skewIsTold(environment), now)
	return told
}

// settling is how long a process collects information about its PipesTokens and about WorkOS
// before it changes the reported conditions. Until then it may know only some of the renewals.
const settling = time.Minute

// health returns the health of an environment whose renewals need perMinute requests per minute.
// A reported overload stays until 5 % of the limit is free.
func (c *Connections) health(name types.NamespacedName, perMinute float64, overloaded bool, now time.Time) health {
	c.mu.Lock()
	defer c.mu.Unlock()
	told := health{failing: &finding.Finding{}, overload: &finding.Finding{}}
	state, ok := c.known[name]
	if !ok || state.client == nil {
		return told
	}
	if state.since.IsZero() {
		state.since = now
	}
	if state.first.IsZero() {
		state.first = now
	}
	const room = 0.95
	switch together, limit := state.client.Need(perMinute); {
	case overloaded && now.Sub(state.first) < settling:
		told.overload = nil
	case together > float64(limit) || overloaded && together > room*float64(limit):
		told.overload = c.tooMany(together, limit)
	}
	if trouble, troubled := state.client.Trouble(); troubled {
		told.failing = troubleOf(trouble)
	} else if !state.heard && now.Sub(state.since) < settling {
		told.failing = nil
	}
	return told
}

func (c *Connections) tooMany(needed float64, limit int) *finding.Finding {
	whose := "this API key may make"
	if c.Share > 0 && c.Share < 1 {
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
