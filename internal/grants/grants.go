// Package grants decides whether a PipesToken may use a PipesEnvironment. A WorkOS API key can
// fetch the token of any user, so everything that is not granted is denied. Every function is
// pure.
package grants

import (
	"errors"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Claim is the request of a PipesToken, with the namespace that it comes from.
type Claim struct {
	Namespace string
	// NamespaceLabels are the labels of the namespace. Nil means that they are not known, and
	// then no selector matches.
	NamespaceLabels map[string]string
	Slug            string
	UserID          string
	// OrganizationID is empty when the PipesToken names no organization.
	OrganizationID string
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
		organizationFits(grant.OrganizationIDs, claim.OrganizationID) &&
		listFits(grant.UserIDs, claim.UserID)
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

// SelectsByLabel reports whether some grant of the environment depends on the labels of
// namespaces.
func SelectsByLabel(environment *v1alpha1.PipesEnvironment) bool {
	return slices.ContainsFunc(environment.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return grant.Namespaces.Selector != nil
	})
}

// Validate finds grants that do not work as written: a list is missing, Any is not alone, or a
// selector is invalid. The CRD refuses the first two mistakes, but an object may be older than
// the CRD. The error names the place of each mistake, on one line, and is always the same for
// the same environment.
func Validate(environment *v1alpha1.PipesEnvironment) error {
	var mistakes []string
	for i, grant := range environment.Spec.Grants {
		place := field.NewPath("spec", "grants").Index(i)
		for _, mistake := range slices.Concat(
			validateList(grant.Slugs, place.Child("slugs"), `list slugs, or write ["*"] for any`),
			validateList(grant.OrganizationIDs, place.Child("organizationIDs"),
				`list IDs, or write ["*"] for any organization and none`),
			validateList(grant.UserIDs, place.Child("userIDs"), `list IDs, or write ["*"] for any`),
			validation.ValidateLabelSelector(grant.Namespaces.Selector, validation.LabelSelectorValidationOptions{},
				place.Child("namespaces", "selector")),
		) {
			mistakes = append(mistakes, mistake.Error())
		}
	}
	if len(mistakes) == 0 {
		return nil
	}
	slices.Sort(mistakes)
	return errors.New(strings.Join(mistakes, "; "))
}

func validateList(list []string, place *field.Path, advice string) field.ErrorList {
	switch {
	case len(list) == 0:
		return field.ErrorList{field.Required(place, advice)}
	case slices.Contains(list, v1alpha1.Any) && !isAny(list):
		return field.ErrorList{field.Invalid(place, v1alpha1.Any, "must be alone in its list")}
	default:
		return nil
	}
}
