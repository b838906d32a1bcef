//go:build reliability

package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

const (
	conformanceNamespace = "default"
	// anotherVersion is a resourceVersion that no Secret has.
	anotherVersion = "987654321"
)

// standIn and realServer store Secrets. The method ask makes a request and returns the HTTP
// status; now returns the Secret as it is stored, or nil if it does not exist.
type standIn struct{ *apiServer }

func (s standIn) ask(method, name string, query url.Values, body []byte) int {
	address := &url.URL{Path: secretPath(method, name), RawQuery: query.Encode()}
	request := &http.Request{Method: method, URL: address}
	answer, err := s.serveSecrets(request, body)
	response, err := respond(request, answer, err)
	if err != nil {
		return 0
	}
	defer response.Body.Close() //nolint:errcheck // it is in memory
	return response.StatusCode
}

func (s standIn) now(name string) *corev1.Secret {
	return s.secret(types.NamespacedName{Namespace: conformanceNamespace, Name: name})
}

type realServer struct {
	t      *testing.T
	host   string
	client *http.Client
}

func (r realServer) do(method, path string, query url.Values, body []byte) (int, []byte) {
	request, err := http.NewRequestWithContext(context.Background(), method, r.host+path+"?"+query.Encode(), bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	request.Header.Set("Content-Type", map[string]string{http.MethodPatch: "application/json-patch+json"}[method])
	if method != http.MethodPatch {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	text, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return response.StatusCode, text
}

func (r realServer) ask(method, name string, query url.Values, body []byte) int {
	code, _ := r.do(method, secretPath(method, name), query, body)
	if code == http.StatusCreated {
		// The operator does not distinguish 200 from 201.
		return http.StatusOK
	}
	return code
}

func (r realServer) now(name string) *corev1.Secret {
	code, text := r.do(http.MethodGet, secretPath(http.MethodGet, name), nil, nil)
	if code == http.StatusNotFound {
		return nil
	}
	secret := &corev1.Secret{}
	if err := json.Unmarshal(text, secret); err != nil {
		r.t.Fatal(err)
	}
	return secret
}

func secretPath(method, name string) string {
	path := "/api/v1/namespaces/" + conformanceNamespace + "/secrets"
	if method == http.MethodPost {
		return path
	}
	return path + "/" + name
}

// step is one request. Its body depends on the Secret that the server holds at that time.
type step struct {
	method  string
	manager string
	body    func(now *corev1.Secret) []byte
}

// The stand-in must behave as a real API server does, in everything that the operator relies on:
// the same requests get the same statuses, and leave the same Secrets with the same
// managedFields.
func TestTheStandInDoesWhatARealAPIServerDoes(t *testing.T) {
	plane, err := harness.Start(harness.Options{WithoutCRDs: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	client, err := rest.HTTPClientFor(plane.Admin)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	genuine := realServer{t: t, host: "https://" + plane.Address(), client: client}
	number := 0
	rapid.Check(t, func(t *rapid.T) {
		number++
		name := "s" + itoa(number)
		imitation := standIn{newAPIServer(clocktesting.NewFakePassiveClock(start))}
		for range rapid.IntRange(1, 8).Draw(t, "steps") {
			next := drawStep(t, name)
			query := url.Values{"fieldManager": {next.manager}}
			before := genuine.now(name)
			got := imitation.ask(next.method, name, query, next.body(imitation.now(name)))
			body := next.body(before)
			want := genuine.ask(next.method, name, query, body)
			if got != want {
				t.Fatalf("%s with %s: the stand-in answers %d, the API server %d", next.method, body, got, want)
			}
			has, shouldHave := essence(imitation.now(name)), essence(genuine.now(name))
			if has != shouldHave {
				t.Fatalf("after %s with %s, the stand-in has\n%s\nand the API server\n%s", next.method, body, has, shouldHave)
			}
		}
	})
}

// drawStep draws a request of the kind that the operator, or a stranger, makes.
func drawStep(t *rapid.T, name string) step {
	manager := draw(t, "manager", tokensecret.FieldManager, "kubectl")
	stale := draw(t, "stale", false, false, true)
	value := []byte(draw(t, "value", "a", "b"))
	key := draw(t, "key", "access_token", "other")
	kind := draw(t, "type", corev1.SecretTypeOpaque, corev1.SecretTypeOpaque, corev1.SecretTypeBasicAuth)
	immutable := draw(t, "immutable", false, false, false, true)
	switch draw(t, "request", "create", "create", "data", "data", "label", "claim", "owner", "type", "finalizer", "delete") {
	case "create":
		return step{http.MethodPost, manager, func(*corev1.Secret) []byte {
			secret := &corev1.Secret{
				TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"}, Type: kind,
				ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: conformanceNamespace, Labels: map[string]string{"team": string(value)}},
				Data:       map[string][]byte{key: value},
			}
			if immutable {
				secret.Immutable = ptr.To(true)
			}
			return asJSON(secret)
		}}
	case "data":
		return patchStep(manager, stale, map[string]any{"op": "add", "path": "/data", "value": map[string][]byte{key: value}})
	case "label":
		return patchStep(manager, stale, map[string]any{"op": "add", "path": "/metadata/labels", "value": map[string]string{key: string(value)}})
	case "claim":
		return patchStep(manager, stale,
			map[string]any{"op": "add", "path": "/data", "value": map[string][]byte{key: value}},
			map[string]any{"op": "add", "path": "/metadata/managedFields", "value": []any{map[string]any{
				"manager": tokensecret.FieldManager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
				"fieldsV1": map[string]any{"f:data": map[string]any{".": map[string]any{}, "f:" + key: map[string]any{}}},
			}}})
	case "owner":
		return patchStep(manager, stale, map[string]any{"op": "add", "path": "/metadata/ownerReferences", "value": []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ConfigMap", Name: "a", UID: "1", Controller: ptr.To(true)}, {APIVersion: "v1", Kind: "ConfigMap", Name: "b", UID: "2", Controller: ptr.To(immutable)},
		}})
	case "type":
		return patchStep(manager, stale, map[string]any{"op": "add", "path": "/type", "value": kind})
	case "finalizer":
		finalizers := []string{"example.com/stranger"}
		if stale {
			finalizers = []string{}
		}
		return patchStep(manager, false, map[string]any{"op": "add", "path": "/metadata/finalizers", "value": finalizers})
	default:
		return step{http.MethodDelete, manager, func(now *corev1.Secret) []byte {
			options := metav1.DeleteOptions{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "DeleteOptions"}}
			if now != nil {
				version := now.ResourceVersion
				if stale {
					version = anotherVersion
				}
				options.Preconditions = &metav1.Preconditions{UID: &now.UID, ResourceVersion: &version}
			}
			return asJSON(options)
		}}
	}
}

// patchStep is a JSON patch that the server refuses unless the Secret has the given
// resourceVersion, as the patches of the operator are. A stale patch carries a resourceVersion
// that no Secret has.
func patchStep(manager string, stale bool, operations ...map[string]any) step {
	return step{http.MethodPatch, manager, func(now *corev1.Secret) []byte {
		version := anotherVersion
		if now != nil && !stale {
			version = now.ResourceVersion
		}
		return asJSON(append(slices.Clone(operations), map[string]any{"op": "replace", "path": "/metadata/resourceVersion", "value": version}))
	}}
}

func asJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return text
}

// essence is a Secret without the fields that differ between any two servers.
func essence(secret *corev1.Secret) string {
	if secret == nil {
		return "nothing"
	}
	shown := secret.DeepCopy()
	shown.UID, shown.ResourceVersion, shown.CreationTimestamp = "", "", metav1.Time{}
	if shown.DeletionTimestamp != nil {
		shown.DeletionTimestamp, shown.DeletionGracePeriodSeconds = &metav1.Time{}, nil
	}
	for i := range shown.ManagedFields {
		shown.ManagedFields[i].Time = nil
	}
	slices.SortFunc(shown.ManagedFields, func(a, b metav1.ManagedFieldsEntry) int { return strings.Compare(a.Manager, b.Manager) })
	return string(asJSON(shown))
}
