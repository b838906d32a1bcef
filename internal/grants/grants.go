// Package grants decides whether a PipesToken may use a PipesEnvironment. A WorkOS API key can fetch any user's token, so
// what is not granted is denied. Every function is pure.
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

// Claim is what a PipesToken asks for, and from where.
type Claim struct {
	Namespace string
	// NamespaceLabels are the labels of the namespace. Nil: they are not known, and no selector fits.
	NamespaceLabels map[string]string
	Slug            string
	UserID          string
	// OrganizationID is empty when the PipesToken names none.
	OrganizationID string
}

// Allowed says whether the environment's owner lets the claim through: it comes from the environment's own namespace, or one
// of the environment's grants fits in all its parts.
func Allowed(environment *v1alpha1.PipesEnvironment, claim Claim) bool {
	return claim.Namespace == environment.Namespace ||
		slices.ContainsFunc(environment.Spec.Grants, func(grant v1alpha1.Grant) bool { return fits(grant, claim) })
}

func fits(grant v1alpha1.Grant, claim Claim) bool {
	return namespaceFits(grant.Namespaces, claim) &&
		anyOrOneOf(grant.Slugs, claim.Slug) &&
		anyOrOneOf(grant.OrganizationIDs, claim.OrganizationID) &&
		anyOrOneOf(grant.UserIDs, claim.UserID)
}

func namespaceFits(namespaces v1alpha1.GrantNamespaces, claim Claim) bool {
	if slices.Contains(namespaces.Names, claim.Namespace) || slices.Contains(namespaces.Names, v1alpha1.AllNamespaces) {
		return true
	}
	if namespaces.Selector == nil || claim.NamespaceLabels == nil {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(namespaces.Selector)
	// An empty selector selects everything. The CRD refuses it; should it come anyway, "all" has to be said as "*".
	return err == nil && !selector.Empty() && selector.Matches(labels.Set(claim.NamespaceLabels))
}

// anyOrOneOf reads a list of a grant: left out it allows any value, given it allows its members. An organization that the
// claim leaves out ("") is never a member.
func anyOrOneOf(list []string, value string) bool {
	return list == nil || value != "" && slices.Contains(list, value)
}

// SelectsByLabel says whether some grant of the environment depends on the labels of namespaces.
func SelectsByLabel(environment *v1alpha1.PipesEnvironment) bool {
	return slices.ContainsFunc(environment.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return grant.Namespaces.Selector != nil
	})
}

// Validate finds selectors that cannot be read, and so select nothing. The error names the place of each mistake, on one line,
// and is the same for the same environment.
func Validate(environment *v1alpha1.PipesEnvironment) error {
	var mistakes []string
	for i, grant := range environment.Spec.Grants {
		place := field.NewPath("spec", "grants").Index(i).Child("namespaces", "selector")
		found := validation.ValidateLabelSelector(grant.Namespaces.Selector, validation.LabelSelectorValidationOptions{}, place)
		for _, mistake := range found {
			mistakes = append(mistakes, mistake.Error())
		}
	}
	if len(mistakes) == 0 {
		return nil
	}
	slices.Sort(mistakes)
	return errors.New(strings.Join(mistakes, "; "))
}
