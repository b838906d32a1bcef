package harness

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// Anything grants every slug, organization and user to namespaces.
func Anything(namespaces v1alpha1.GrantNamespaces) v1alpha1.Grant {
	return v1alpha1.Grant{
		Namespaces: namespaces,
		Slugs:      []string{v1alpha1.Any}, OrganizationIDs: []string{v1alpha1.Any}, UserIDs: []string{v1alpha1.Any},
	}
}

// IDOf is the connection that a PipesToken asks for.
func IDOf(token *v1alpha1.PipesToken) workossim.ID {
	id := workossim.ID{
		Slug: token.Spec.Slug, UserID: token.Spec.UserID, OrganizationID: token.Spec.OrganizationID,
		AccountID: token.Spec.ConnectedAccountID,
	}
	if token.Spec.ConnectionOwner == v1alpha1.ConnectionOwnerOrganization {
		id.Owner = workossim.OwnerOrganization
	}
	return id
}

// ReadyOf returns the Ready condition of a PipesToken, or the zero condition if it has none.
func ReadyOf(token *v1alpha1.PipesToken) metav1.Condition {
	if ready := meta.FindStatusCondition(token.Status.Conditions, v1alpha1.ReadyCondition); ready != nil {
		return *ready
	}
	return metav1.Condition{}
}

// KStatusOf returns the status that kstatus, and therefore Flux and kubectl, compute for an object,
// and the object that it was computed from.
func KStatusOf(object client.Object) (status.Status, *unstructured.Unstructured, error) {
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
	if err != nil {
		return "", nil, err
	}
	kind, err := apiutil.GVKForObject(object, Scheme)
	if err != nil {
		return "", nil, err
	}
	read := &unstructured.Unstructured{Object: content}
	read.SetGroupVersionKind(kind)
	result, err := status.Compute(read)
	if err != nil {
		return "", nil, err
	}
	return result.Status, read, nil
}
