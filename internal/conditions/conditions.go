// Package conditions makes the conditions of PipesTokens and PipesEnvironments, and compares them.
package conditions

import (
	"slices"
	"strings"
	"time"
	"unicode"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
)

// Own are the types of the conditions that the operator sets. All other conditions in a status
// belong to somebody else.
var Own = sets.New(v1alpha1.ReadyCondition, v1alpha1.ConnectedCondition, v1alpha1.ScopesGrantedCondition,
	v1alpha1.RenewalFailedCondition, v1alpha1.StalledCondition, v1alpha1.ReconcilingCondition,
	v1alpha1.GrantsValidCondition, v1alpha1.EventsFollowedCondition, v1alpha1.UpstreamFailingCondition,
	v1alpha1.BudgetTooSmallCondition, v1alpha1.ClockSkewedCondition)

// New returns a condition without generation and transition time. Complete adds them.
func New(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// Of returns a condition that reports a finding.
func Of(kind string, status metav1.ConditionStatus, found finding.Finding) metav1.Condition {
	return New(kind, status, found.Reason, found.Text())
}

// Complete sets the generation and the transition time of each condition. The transition time
// changes only with the status of the condition.
func Complete(conditions, before []metav1.Condition, generation int64, now time.Time) {
	for i := range conditions {
		c := &conditions[i]
		c.ObservedGeneration, c.LastTransitionTime = generation, metav1.NewTime(Stored(now))
		if old := meta.FindStatusCondition(before, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
}

// Stored returns a time in the precision in which the API server stores times: whole seconds, in
// UTC.
func Stored(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

// Ready returns the Ready condition; the zero condition if there is none.
func Ready(conditions []metav1.Condition) metav1.Condition {
	if ready := meta.FindStatusCondition(conditions, v1alpha1.ReadyCondition); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// Same compares the operator's own conditions. It ignores their order, which the API server
// chooses.
func Same(want, before []metav1.Condition) bool {
	for _, c := range before {
		if Own.Has(c.Type) && meta.FindStatusCondition(want, c.Type) == nil {
			return false
		}
	}
	return !slices.ContainsFunc(want, func(c metav1.Condition) bool {
		other := meta.FindStatusCondition(before, c.Type)
		return other == nil || !same(c, *other)
	})
}

// same compares the times as instants, not as they are represented in memory.
func same(a, b metav1.Condition) bool {
	sameTime := a.LastTransitionTime.Equal(&b.LastTransitionTime)
	a.LastTransitionTime, b.LastTransitionTime = metav1.Time{}, metav1.Time{}
	return sameTime && a == b
}

// Configurations returns the conditions for server-side apply.
func Configurations(conditions []metav1.Condition) []*metav1ac.ConditionApplyConfiguration {
	configurations := make([]*metav1ac.ConditionApplyConfiguration, 0, len(conditions))
	for c := range slices.Values(conditions) {
		configurations = append(configurations, metav1ac.Condition().
			WithType(c.Type).WithStatus(c.Status).WithReason(c.Reason).WithMessage(c.Message).
			WithObservedGeneration(c.ObservedGeneration).WithLastTransitionTime(c.LastTransitionTime))
	}
	return configurations
}

// Printable shortens a foreign text for a condition: at most 256 printable characters on one
// line.
func Printable(text string) string {
	const longest = 256
	text = strings.Join(strings.FieldsFunc(text, unicode.IsSpace), " ")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > longest {
		return string(runes[:longest-1]) + "…"
	}
	return text
}
