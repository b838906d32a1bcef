package grants

import (
	"slices"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// DependsOnLabels reports whether some grant of the environment depends on the labels of
// namespaces: it selects namespaces by label, or it takes an ID from a label.
func DependsOnLabels(environment *v1alpha1.PipesEnvironment) bool {
	return slices.ContainsFunc(environment.Spec.Grants, func(grant v1alpha1.Grant) bool {
		return grant.Namespaces.Selector != nil || grant.OrganizationIDsFrom != nil || grant.UserIDsFrom != nil
	})
}

// Mismatch is a label of the claim's namespace that does not have the ID of the claim, although a
// grant takes the ID from there.
type Mismatch struct {
	// Subject is what the grant takes from the label: SubjectUser or SubjectOrganization.
	Subject string
	Label   string
	// Value is the value of the label. It is empty if the namespace lacks the label.
	Value string
}

// Subjects of a Mismatch.
const (
	SubjectUser         = "user"
	SubjectOrganization = "organization"
)

// maxMismatches is the maximum number of labels in the message for a user.
const maxMismatches = 4

// Mismatches returns the labels that may be the reason why no grant allows the claim, at most
// maxMismatches. The result does not depend on the lists of a grant, because tenants see it: they
// could otherwise learn the lists by trying. For the same reason only grants for the claim's own
// namespace count, and every value is one of this namespace.
func Mismatches(environment *v1alpha1.PipesEnvironment, claim Claim) []Mismatch {
	if claim.NamespaceLabels == nil {
		return nil
	}
	var found []Mismatch
	add := func(source *v1alpha1.NamespaceLabelSource, subject, id string) {
		if source == nil || labelFits(source, claim.NamespaceLabels, id) || len(found) == maxMismatches {
			return
		}
		label := source.NamespaceLabel
		mismatch := Mismatch{Subject: subject, Label: label, Value: claim.NamespaceLabels[label]}
		if !slices.Contains(found, mismatch) {
			found = append(found, mismatch)
		}
	}
	for _, grant := range environment.Spec.Grants {
		if namespaceFits(grant.Namespaces, claim) {
			add(grant.UserIDsFrom, SubjectUser, claim.UserID)
			add(grant.OrganizationIDsFrom, SubjectOrganization, claim.OrganizationID)
		}
	}
	return found
}
