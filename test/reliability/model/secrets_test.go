//go:build reliability

package model_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

var secretResource = schema.GroupResource{Resource: "secrets"}

// fieldManager maintains the managedFields of Secrets, with the code of kube-apiserver.
var fieldManager = func() *managedfields.FieldManager {
	kind := corev1.SchemeGroupVersion.WithKind("Secret")
	manager, err := managedfields.NewDefaultFieldManager(applyconfigurations.NewTypeConverter(scheme.Scheme),
		scheme.Scheme, scheme.Scheme, scheme.Scheme, kind, kind.GroupVersion(), "", nil)
	if err != nil {
		panic(err)
	}
	return manager
}()

// admission is how admission control treats the writes of Secrets.
type admission string

const (
	// admits: it admits every write.
	admits admission = "admits"
	// down: a webhook does not answer, and its failurePolicy is Fail.
	down admission = "down"
	// refuses: a webhook refuses with a status code that has another meaning: 409 Conflict.
	refuses admission = "refuses"
	// strips: a policy removes the token-hash annotation.
	strips admission = "strips"
)

// admit returns the error of admission for a write of a Secret.
func (s *apiServer) admit(request *http.Request) error {
	if request.Method != http.MethodPost && request.Method != http.MethodPatch {
		return nil
	}
	switch s.admission {
	case down:
		return apierrors.NewInternalError(errors.New(`failed calling webhook "down.example.com": connection refused`))
	case refuses:
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusConflict, Reason: metav1.StatusReasonConflict,
			Message: `admission webhook "strict.example.com" denied the request: not today`,
		}}
	}
	return nil
}

// mutate changes a Secret as admission does.
func (s *apiServer) mutate(secret *corev1.Secret) {
	if s.admission == strips {
		delete(secret.Annotations, tokensecret.TokenHashAnnotation)
	}
}

// createSecret implements POST.
func (s *apiServer) createSecret(secret *corev1.Secret, manager string, dryRun bool) (*corev1.Secret, error) {
	key := client.ObjectKeyFromObject(secret)
	if secret.Type == "" {
		secret.Type = corev1.SecretTypeOpaque
	}
	if err := invalidSecret(secret, nil); err != nil {
		return nil, err
	}
	if s.get(secrets, key) != nil {
		return nil, apierrors.NewAlreadyExists(secretResource, key.Name)
	}
	s.mutate(secret)
	secret.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}
	stored := managed(&corev1.Secret{TypeMeta: secret.TypeMeta}, secret, manager)
	if dryRun {
		return stored, nil
	}
	s.put(secrets, stored)
	return s.secret(key), nil
}

// patchSecret implements PATCH with a JSON patch.
func (s *apiServer) patchSecret(key types.NamespacedName, patch []byte, manager string, dryRun bool) (*corev1.Secret, error) {
	live := s.secret(key)
	if live == nil {
		return nil, apierrors.NewNotFound(secretResource, key.Name)
	}
	operations, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	document, err := json.Marshal(live)
	if err != nil {
		return nil, err
	}
	if document, err = operations.Apply(document); err != nil {
		return nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "patch", secretResource, key.Name, err.Error(), 0, false)
	}
	changed := &corev1.Secret{}
	if err := json.Unmarshal(document, changed); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return s.updateSecret(changed, manager, dryRun)
}

// updateSecret stores a changed Secret if it was made from the latest version. A dry run does
// everything except store it.
func (s *apiServer) updateSecret(changed *corev1.Secret, manager string, dryRun bool) (*corev1.Secret, error) {
	key := client.ObjectKeyFromObject(changed)
	live := s.secret(key)
	if changed.ResourceVersion != live.ResourceVersion || changed.UID != live.UID {
		return nil, apierrors.NewConflict(secretResource, key.Name, errors.New("the object has been modified"))
	}
	s.mutate(changed)
	if err := invalidSecret(changed, live); err != nil {
		return nil, err
	}
	after := managed(live, changed, manager)
	if sameButForManagers(live, after) {
		return live, nil
	}
	if dryRun {
		return after, nil
	}
	s.put(secrets, after)
	if after.DeletionTimestamp != nil && len(after.Finalizers) == 0 {
		s.remove(secrets, key)
	}
	return after, nil
}

// sameButForManagers reports whether two Secrets differ at most in the times of managedFields.
// The API server does not store a write that changes nothing else.
func sameButForManagers(a, b *corev1.Secret) bool {
	withoutTimes := func(secret *corev1.Secret) *corev1.Secret {
		secret = secret.DeepCopy()
		for i := range secret.ManagedFields {
			secret.ManagedFields[i].Time = nil
		}
		return secret
	}
	return equality.Semantic.DeepEqual(withoutTimes(a), withoutTimes(b))
}

// deleteSecret implements DELETE with preconditions.
func (s *apiServer) deleteSecret(key types.NamespacedName, options metav1.DeleteOptions) error {
	live := s.secret(key)
	if live == nil {
		return apierrors.NewNotFound(secretResource, key.Name)
	}
	if wanted := options.Preconditions; wanted != nil {
		if wanted.UID != nil && *wanted.UID != live.UID || wanted.ResourceVersion != nil && *wanted.ResourceVersion != live.ResourceVersion {
			return apierrors.NewConflict(secretResource, key.Name, errors.New("the precondition failed"))
		}
	}
	s.remove(secrets, key)
	return nil
}

// managed returns changed with the managedFields that a write by manager produces.
func managed(live, changed *corev1.Secret, manager string) *corev1.Secret {
	after, err := fieldManager.Update(live.DeepCopy(), changed.DeepCopy(), manager)
	if err != nil {
		panic(fmt.Sprintf("managedFields: %v", err))
	}
	return after.(*corev1.Secret)
}

// invalidSecret implements the part of kube-apiserver's validation that a write in the model can
// fail.
func invalidSecret(secret, live *corev1.Secret) error {
	refuse := func(why string) error {
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid,
			Message: fmt.Sprintf("Secret %q is invalid: %s", secret.Name, why),
		}}
	}
	if live != nil {
		switch {
		case secret.Type != live.Type:
			return refuse("type: field is immutable")
		case live.Immutable != nil && *live.Immutable && !equality.Semantic.DeepEqual(secret.Data, live.Data):
			return refuse("data: field is immutable when `immutable` is set")
		}
	}
	controllers := 0
	for _, owner := range secret.OwnerReferences {
		if owner.Controller != nil && *owner.Controller {
			controllers++
		}
	}
	if controllers > 1 {
		return refuse("metadata.ownerReferences: Only one reference can have Controller set to true")
	}
	switch _, config := secret.Data[corev1.DockerConfigJsonKey]; secret.Type {
	case corev1.SecretTypeDockerConfigJson:
		if !config || !json.Valid(secret.Data[corev1.DockerConfigJsonKey]) {
			return refuse("data[.dockerconfigjson]: Required value")
		}
	case corev1.SecretTypeBasicAuth:
		_, user := secret.Data[corev1.BasicAuthUsernameKey]
		_, password := secret.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			return refuse("data[username] or data[password]: Required value")
		}
	}
	return nil
}

// serveSecrets answers the requests of the operator's SecretClient. It returns metadata only if
// the request asks for that.
func (s *apiServer) serveSecrets(request *http.Request, body []byte) (any, error) {
	parts := strings.Split(strings.TrimPrefix(request.URL.Path, "/api/v1/namespaces/"), "/")
	key := types.NamespacedName{Namespace: parts[0]}
	if len(parts) == 3 {
		key.Name = parts[2]
	}
	manager, dryRun := request.URL.Query().Get("fieldManager"), request.URL.Query().Get("dryRun") != ""
	answer := func(secret *corev1.Secret) any {
		if secret == nil || strings.Contains(request.Header.Get("Accept"), "as=PartialObjectMetadata") {
			return metadataOrNil(secret)
		}
		return secret
	}
	if err := s.admit(request); err != nil {
		return nil, err
	}
	switch request.Method {
	case http.MethodGet:
		_, key.Name, _ = strings.Cut(request.URL.Query().Get("fieldSelector"), "=")
		list := &metav1.PartialObjectMetadataList{}
		if secret := s.secret(key); secret != nil {
			list.Items = append(list.Items, *metadataOf(secret))
		}
		return list, nil
	case http.MethodPost:
		secret := &corev1.Secret{}
		if err := json.Unmarshal(body, secret); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		created, err := s.createSecret(secret, manager, dryRun)
		return answer(created), err
	case http.MethodPatch:
		patched, err := s.patchSecret(key, body, manager, dryRun)
		return answer(patched), err
	case http.MethodDelete:
		var options metav1.DeleteOptions
		if err := json.Unmarshal(body, &options); err != nil {
			return nil, apierrors.NewBadRequest(err.Error())
		}
		if err := s.deleteSecret(key, options); err != nil {
			return nil, err
		}
		if left := s.secret(key); left != nil { // it has finalizers
			return metadataOf(left), nil
		}
		return &metav1.Status{Status: metav1.StatusSuccess}, nil
	}
	return nil, fmt.Errorf("the stand-in does not know %s %s", request.Method, request.URL)
}

func metadataOrNil(secret *corev1.Secret) any {
	if secret == nil {
		return nil
	}
	return metadataOf(secret)
}

func metadataOf(secret *corev1.Secret) *metav1.PartialObjectMetadata {
	metadata := &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: *secret.ObjectMeta.DeepCopy(),
	}
	return metadata
}

// respond converts an answer or an API error to an HTTP response.
func respond(request *http.Request, answer any, err error) (*http.Response, error) {
	code := http.StatusOK
	if err != nil {
		var status apierrors.APIStatus
		if !errors.As(err, &status) {
			return nil, err
		}
		failure := status.Status()
		failure.TypeMeta = metav1.TypeMeta{APIVersion: "v1", Kind: "Status"}
		answer, code = failure, int(failure.Code)
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(text)), Request: request,
	}, nil
}
