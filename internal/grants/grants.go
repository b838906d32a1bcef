// Package grants decides whether a PipesToken may use a PipesEnvironment. A WorkOS API key can
// fetch the token of any user, so everything that is not granted is denied. Every function is
// pure.
package grants

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Claim is the request of a PipesToken, with the namespace that it comes from.
type Claim struct {
	Namespace string
	// NamespaceLabels are the labels of the namespace. Nil means that they are not known, and
	// then no selector matches, and no label has an ID.
	NamespaceLabels map[string]string
	Slug            string
	UserID          string
	// OrganizationID is empty when the PipesToken names no organization.
	OrganizationID string
	// Owner is whose connection the PipesToken uses. Empty means User, the default of the CRD: an
	// older CRD stores no owner.
	Owner v1alpha1.ConnectionOwner
}

// Allowed reports whether the environment allows the claim: the claim comes from the
// environment's own namespace, or all parts of one of the environment's grants match.
func Allowed(environment *v1alpha1.PipesEnvironment, claim Claim) bool {
	return claim.Namespace == environment.Namespace ||
		slices.ContainsFunc(environment.Spec.Grants, func(grant v1alpha1.Grant) bool { return fits(grant, claim) })
}

func fits(grant v1alpha1.Grant, claim Claim) bool {
	return namespaceFits(grant.Namespaces, claim) &&
		listFits(grant.Slugs, claim.Slug) &&
		organizationAllowed(grant, claim) &&
		userAllowed(grant, claim) &&
		ownerFits(grant.ConnectionOwners, claim.Owner)
}

func namespaceFits(namespaces v1alpha1.GrantNamespaces, claim Claim) bool {
	if slices.Contains(namespaces.Names, claim.Namespace) || slices.Contains(namespaces.Names, v1alpha1.AllNamespaces) {
		return true
	}
	if namespaces.Selector == nil || claim.NamespaceLabels == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(namespaces.Selector)
	// An empty selector would match every namespace. The CRD refuses it. If it is stored all
	// the same, it matches no namespace: only "*" stands for all namespaces.
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(claim.NamespaceLabels))
}

// organizationAllowed reports whether the organization of the claim is in the list of the grant,
// or in the label that the grant names. A grant with both forms allows nothing.
func organizationAllowed(grant v1alpha1.Grant, claim Claim) bool {
	if grant.OrganizationIDsFrom == nil {
		return organizationFits(grant.OrganizationIDs, claim.OrganizationID)
	}
	return len(grant.OrganizationIDs) == 0 && claim.OrganizationID != v1alpha1.NoOrganization &&
		labelFits(grant.OrganizationIDsFrom, claim.NamespaceLabels, claim.OrganizationID)
}

// userAllowed is the same for the user.
func userAllowed(grant v1alpha1.Grant, claim Claim) bool {
	if grant.UserIDsFrom == nil {
		return listFits(grant.UserIDs, claim.UserID)
	}
	return len(grant.UserIDs) == 0 && labelFits(grant.UserIDsFrom, claim.NamespaceLabels, claim.UserID)
}

// labelFits reports whether the value of the label is the ID. A label that is missing or empty
// has no ID, and no value has a meaning of its own.
func labelFits(source *v1alpha1.NamespaceLabelSource, namespace map[string]string, id string) bool {
	return id != "" && namespace[source.NamespaceLabel] == id
}

// ownerFits reports whether a list of owners allows an owner. An absent list is the default of
// the CRD. An empty list allows nothing.
func ownerFits(list []v1alpha1.ConnectionOwner, owner v1alpha1.ConnectionOwner) bool {
	if owner == "" {
		owner = v1alpha1.ConnectionOwnerUser
	}
	if list == nil {
		return owner == v1alpha1.ConnectionOwnerUser
	}
	return slices.Contains(list, owner)
}

// organizationFits reports whether a list of organizations allows an organization. A claim
// without an organization needs NoOrganization or Any in the list. NoOrganization is never the
// ID of an organization.
func organizationFits(list []string, organization string) bool {
	switch organization {
	case "":
		return isAny(list) || slices.Contains(list, v1alpha1.NoOrganization)
	case v1alpha1.NoOrganization:
		return isAny(list)
	default:
		return listFits(list, organization)
	}
}

// listFits reports whether a list of slugs or IDs allows a value. An absent or empty list
// allows nothing: a tool that drops a list must not widen a grant.
func listFits(list []string, value string) bool {
	return value != "" && (isAny(list) || slices.Contains(list, value))
}

// isAny reports whether the list is Any alone. Any beside other values has no meaning: the CRD
// refuses this list.
func isAny(list []string) bool { return len(list) == 1 && list[0] == v1alpha1.Any }
