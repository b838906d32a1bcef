package grants

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Validate finds grants that do not work as written: a list is missing, Any is not alone, an ID
// has two sources, or a selector, the key of a label or an owner is invalid. The CRD refuses all
// but invalid selectors, but an object may be older than the CRD. The error names the place of
// each mistake, on one line, and is always the same for the same environment.
func Validate(environment *v1alpha1.PipesEnvironment) error {
	var mistakes []string
	for i, grant := range environment.Spec.Grants {
		place := field.NewPath("spec", "grants").Index(i)
		for _, mistake := range slices.Concat(
			validateList(grant.Slugs, place.Child("slugs"), `list slugs, or write ["*"] for any`),
			validateIDs(grant.OrganizationIDs, grant.OrganizationIDsFrom, place, "organizationIDs",
				`list IDs, write ["*"] for any organization and none, or use organizationIDsFrom`),
			validateIDs(grant.UserIDs, grant.UserIDsFrom, place, "userIDs",
				`list IDs, write ["*"] for any, or use userIDsFrom`),
			validateOwners(grant.ConnectionOwners, place.Child("connectionOwners")),
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

// validateIDs validates the two forms of a field: a list, or the label that has the ID.
func validateIDs(
	list []string, from *v1alpha1.NamespaceLabelSource, grant *field.Path, name, advice string,
) field.ErrorList {
	if from == nil {
		return validateList(list, grant.Child(name), advice)
	}
	place := grant.Child(name + "From")
	var mistakes field.ErrorList
	if len(list) > 0 {
		mistakes = append(mistakes, field.Forbidden(place,
			fmt.Sprintf("%s and %[1]sFrom exclude each other: remove one of them", name)))
	}
	if key := place.Child("namespaceLabel"); from.NamespaceLabel == "" {
		mistakes = append(mistakes, field.Required(key, "name the key of a label"))
	} else {
		mistakes = append(mistakes, validation.ValidateLabelName(from.NamespaceLabel, key)...)
	}
	return mistakes
}

func validateOwners(list []v1alpha1.ConnectionOwner, place *field.Path) field.ErrorList {
	owners := []v1alpha1.ConnectionOwner{v1alpha1.ConnectionOwnerUser, v1alpha1.ConnectionOwnerOrganization}
	if list != nil && len(list) == 0 {
		return field.ErrorList{field.Required(place, "list User, Organization or both")}
	}
	var mistakes field.ErrorList
	for i, owner := range list {
		if !slices.Contains(owners, owner) {
			mistakes = append(mistakes, field.NotSupported(place.Index(i), owner, owners))
		}
	}
	return mistakes
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
