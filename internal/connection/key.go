package connection

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// readKey reads the API key of an environment. It returns the key, the version of its Secret,
// and a finding if a person has to fix something. An error is an error of the API server.
func (r *Registry) readKey(
	ctx context.Context, environment *v1alpha1.PipesEnvironment,
) (redact.String, string, finding.Finding, error) {
	ref := environment.Spec.APIKeySecretRef
	secret := &corev1.Secret{}
	// client-go logs response bodies at high verbosity, and this body holds the API key.
	// Therefore the logger discards everything.
	err := r.Reader.Get(logr.NewContext(ctx, logr.Discard()),
		client.ObjectKey{Namespace: environment.Namespace, Name: ref.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return redact.String{}, "", finding.Newf(v1alpha1.APIKeyNotFoundReason,
			"Secret %q does not exist in namespace %q: create it with the API key in entry %q",
			ref.Name, environment.Namespace, ref.Key), nil
	case apierrors.IsForbidden(err):
		return redact.String{}, "", finding.Newf(v1alpha1.APIKeyForbiddenReason,
			"The operator may not read Secret %q in namespace %q: "+
				"give its service account get on that Secret, by a Role and a RoleBinding there",
			ref.Name, environment.Namespace), nil
	case err != nil:
		return redact.String{}, "", finding.Finding{}, fmt.Errorf("reading Secret %s with the API key: %w", ref.Name, err)
	}
	version := string(secret.UID) + "/" + secret.ResourceVersion
	value, ok := secret.Data[ref.Key]
	if !ok {
		return redact.String{}, version, finding.Newf(v1alpha1.APIKeyNotFoundReason,
			"Secret %q in namespace %q has no entry %q: put the API key there", ref.Name, environment.Namespace, ref.Key), nil
	}
	// Keys come from files and editors, which often add a newline at the end.
	key := strings.TrimSpace(string(value))
	if key == "" || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return redact.String{}, version, finding.Newf(v1alpha1.APIKeyInvalidReason,
			"Entry %q of Secret %q is not an API key: it is empty, or has spaces or control characters in it",
			ref.Key, ref.Name), nil
	}
	return redact.NewString(key), version, finding.Finding{}, nil
}
