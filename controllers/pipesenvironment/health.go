package pipesenvironment

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/connection"
	"github.com/pipes-operator/pipes-operator/internal/finding"
)

// healthConditions are the types of the conditions for the health of an environment. Each exists
// only while it has a problem to report.
var healthConditions = []string{
	v1alpha1.UpstreamFailingCondition,
	v1alpha1.BudgetTooSmallCondition,
	v1alpha1.ClockSkewedCondition,
}

// conditionsOf returns the conditions for the health of an environment. A condition whose finding
// is not known yet stays as it was before.
func conditionsOf(health connection.Health, before []metav1.Condition) (all []metav1.Condition) {
	for i, found := range []*finding.Finding{health.Failing, health.Overload, health.Clocks} {
		switch told := meta.FindStatusCondition(before, healthConditions[i]); {
		case found == nil && told != nil:
			all = append(all, *told)
		case found != nil && found.Present():
			all = append(all, conditions.Of(healthConditions[i], metav1.ConditionTrue, *found))
		}
	}
	return all
}

// health returns the health of an environment. It depends on the requests that the PipesTokens
// of the environment need, and on the answers of WorkOS to them.
func (r *Reconciler) health(environment *v1alpha1.PipesEnvironment, now time.Time) connection.Health {
	name := client.ObjectKeyFromObject(environment)
	needed := r.Ledger.Demand(name, now)
	r.Metrics.Budget(name, needed, r.Connections.RequestsPerMinute(environment))
	return r.Connections.Health(environment, needed, now)
}
