// Package refresh reads the annotation by which a person asks for a reconcile now.
package refresh

import (
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// longest is the maximum length of status.lastHandledRefreshRequest, in bytes.
const longest = 256

// Request returns the value of the annotation that requests a refresh, cut to the length that the
// status can hold. Empty: no refresh was requested.
func Request(object client.Object) string {
	value := object.GetAnnotations()[v1alpha1.RefreshRequestedAtAnnotation]
	return strings.ToValidUTF8(value[:min(len(value), longest)], "")
}

// Changed accepts an update that changes the annotation.
func Changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetAnnotations()[v1alpha1.RefreshRequestedAtAnnotation] !=
			e.ObjectNew.GetAnnotations()[v1alpha1.RefreshRequestedAtAnnotation]
	}}
}
