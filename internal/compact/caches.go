package compact

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// ByObject configures the caches. They hold the PipesTokens of the shard, every
// PipesEnvironment, the metadata of the operator's own Secrets, and the labels of namespaces.
func ByObject(shard sharding.Shard) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		&v1alpha1.PipesToken{}:       {Label: shard.Selector(), Transform: trimToken(shard)},
		&v1alpha1.PipesEnvironment{}: {Transform: trimEnvironment(shard)},
		Secret(): {
			Label:     labels.SelectorFromSet(labels.Set{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}),
			Transform: trimSecret,
		},
		Namespace(): {Transform: trimNamespace},
	}
}

// Secret returns the object under which the caches hold the metadata of Secrets.
func Secret() *metav1.PartialObjectMetadata {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	return metadata
}

// Namespace returns the object under which the caches hold the labels of namespaces.
func Namespace() *metav1.PartialObjectMetadata {
	metadata := &metav1.PartialObjectMetadata{}
	metadata.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	return metadata
}
