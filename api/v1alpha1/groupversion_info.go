// Package v1alpha1 is the API pipes.workos.com/v1alpha1. A PipesToken keeps a valid access token in
// a Secret. A PipesEnvironment names the API key of a WorkOS environment, and says who may use it.
//
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=pipes.workos.com
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is the group and version of every type in this package.
	GroupVersion = schema.GroupVersion{Group: "pipes.workos.com", Version: "v1alpha1"}

	// SchemeGroupVersion is GroupVersion under the name that generated code expects.
	SchemeGroupVersion = GroupVersion

	// SchemeBuilder collects the functions that add this package's types to a scheme.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme adds this package's types to a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&PipesToken{}, &PipesTokenList{},
		&PipesEnvironment{}, &PipesEnvironmentList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
