package grants_test

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/grants"
)

// documented implements the rules of docs/reference/api.md a second time, with loops and
// comparisons only.
func documented(environment *v1alpha1.PipesEnvironment, claim grants.Claim) bool {
	if claim.Namespace == environment.Namespace {
		return true
	}
	for _, grant := range environment.Spec.Grants {
		organization, user := allowsOrganization(grant.OrganizationIDs, claim.OrganizationID), allowsValue(grant.UserIDs, claim.UserID)
		if from := grant.OrganizationIDsFrom; from != nil {
			organization = len(grant.OrganizationIDs) == 0 && claim.OrganizationID != "none" && has(claim.NamespaceLabels, from.NamespaceLabel, claim.OrganizationID)
		}
		if from := grant.UserIDsFrom; from != nil {
			user = len(grant.UserIDs) == 0 && has(claim.NamespaceLabels, from.NamespaceLabel, claim.UserID)
		}
		if !organization || !user || !allowsValue(grant.Slugs, claim.Slug) || !allowsOwner(grant.ConnectionOwners, claim.Owner) {
			continue
		}
		for _, name := range grant.Namespaces.Names {
			if name == "*" || name == claim.Namespace {
				return true
			}
		}
		if claim.NamespaceLabels != nil && selects(grant.Namespaces.Selector, claim.NamespaceLabels) {
			return true
		}
	}
	return false
}

// allowsValue reports whether the list is ["*"] or contains the value. A list without items
// contains no value, and "" is never allowed.
func allowsValue(list []string, value string) bool {
	if value == "" {
		return false
	}
	if len(list) == 1 && list[0] == "*" {
		return true
	}
	for _, member := range list {
		if value == member {
			return true
		}
	}
	return false
}

// allowsOrganization is the same for organizations, with two differences: "none" and ["*"]
// allow a claim without an organization, and "none" allows nothing else.
func allowsOrganization(list []string, organization string) bool {
	if len(list) == 1 && list[0] == "*" {
		return true
	}
	for _, member := range list {
		if member == "none" && organization == "" {
			return true
		}
		if member != "none" && member != "" && member == organization {
			return true
		}
	}
	return false
}

// has reports whether the labels have the key with this value, and the value is not empty.
func has(labels map[string]string, key, value string) bool {
	for k, v := range labels {
		if k == key && v == value && v != "" {
			return true
		}
	}
	return false
}

// allowsOwner reports whether the list contains the owner. An absent list contains User, and an
// absent owner is User.
func allowsOwner(list []v1alpha1.ConnectionOwner, owner v1alpha1.ConnectionOwner) bool {
	if list == nil {
		return owner == "" || owner == "User"
	}
	for _, member := range list {
		if member != "" && member == owner || member == "User" && owner == "" {
			return true
		}
	}
	return false
}

// isOneForm reports whether exactly one of the forms is there, and complete.
func isOneForm(list []string, from *v1alpha1.NamespaceLabelSource) bool {
	if from == nil {
		return isComplete(list)
	}
	return len(list) == 0 && len(validation.IsQualifiedName(from.NamespaceLabel)) == 0
}

// namesOwners reports whether the list is absent, or has an item and only known owners.
func namesOwners(list []v1alpha1.ConnectionOwner) bool {
	for _, owner := range list {
		if owner != "User" && owner != "Organization" {
			return false
		}
	}
	return list == nil || len(list) > 0
}

// isComplete reports whether the list has an item, and a star only if it is alone.
func isComplete(list []string) bool {
	for _, member := range list {
		if member == "*" && len(list) > 1 {
			return false
		}
	}
	return len(list) > 0
}

// selects reports whether all parts of the selector match. A selector without parts, and an
// invalid selector, match nothing.
func selects(selector *metav1.LabelSelector, labels map[string]string) bool {
	if selector == nil || !isReadable(selector) || len(selector.MatchLabels)+len(selector.MatchExpressions) == 0 {
		return false
	}
	for key, value := range selector.MatchLabels {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	for _, expression := range selector.MatchExpressions {
		has, ok := labels[expression.Key]
		in := false
		for _, value := range expression.Values {
			in = in || ok && value == has
		}
		switch expression.Operator {
		case metav1.LabelSelectorOpIn:
			ok = in
		case metav1.LabelSelectorOpNotIn:
			ok = !in
		case metav1.LabelSelectorOpDoesNotExist:
			ok = !ok
		case metav1.LabelSelectorOpExists:
		}
		if !ok {
			return false
		}
	}
	return true
}

// isReadable reports whether keys and values are valid for labels, and operators have values
// exactly when they need them.
func isReadable(selector *metav1.LabelSelector) bool {
	if selector == nil {
		return true
	}
	for key, value := range selector.MatchLabels {
		if len(validation.IsQualifiedName(key)) > 0 || len(validation.IsValidLabelValue(value)) > 0 {
			return false
		}
	}
	for _, expression := range selector.MatchExpressions {
		if len(validation.IsQualifiedName(expression.Key)) > 0 {
			return false
		}
		for _, value := range expression.Values {
			if len(validation.IsValidLabelValue(value)) > 0 {
				return false
			}
		}
		switch expression.Operator {
		case metav1.LabelSelectorOpIn, metav1.LabelSelectorOpNotIn:
			if len(expression.Values) == 0 {
				return false
			}
		case metav1.LabelSelectorOpExists, metav1.LabelSelectorOpDoesNotExist:
			if len(expression.Values) > 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}
