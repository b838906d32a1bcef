//go:build reliability

package model_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// apiClient is the client of the manager: it reads from the cache and writes statuses.
type apiClient struct {
	client.Client // nil: a call of a method that apiClient does not implement panics
	operator      *operator
}

// Get first lets the cache catch up with the writes of this process, as the real client does
// (read your writes).
func (c *apiClient) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	o := c.operator
	kind := kindOf(object)
	o.view.deliverOwn(kind, o.wrote[kind])
	return o.view.read(key, object)
}

func (c *apiClient) List(_ context.Context, list client.ObjectList, options ...client.ListOption) error {
	return c.operator.view.list(list, options...)
}

func (c *apiClient) Status() client.SubResourceWriter { return statusWriter{operator: c.operator} }

type statusWriter struct {
	client.SubResourceWriter // nil
	operator                 *operator
}

// Apply applies a status. The operator is the only field manager of the status, so the applied
// status replaces the old one.
func (w statusWriter) Apply(_ context.Context, configuration runtime.ApplyConfiguration, _ ...client.SubResourceApplyOption) error {
	o := w.operator
	text, err := json.Marshal(configuration)
	if err != nil {
		return err
	}
	o.world.expectNoCanary("a status", string(text))
	var applied struct {
		Kind     string `json:"kind"`
		Metadata struct {
			Name, Namespace, UID, ResourceVersion string
		} `json:"metadata"`
		Status json.RawMessage `json:"status"`
	}
	if err := json.Unmarshal(text, &applied); err != nil {
		return err
	}
	key := types.NamespacedName{Namespace: applied.Metadata.Namespace, Name: applied.Metadata.Name}
	kind := map[string]kind{"PipesToken": tokens, "PipesEnvironment": environments}[applied.Kind]
	return o.ask("the status", func() error {
		if err := o.world.server.statusConflict(kind, key, types.UID(applied.Metadata.UID), applied.Metadata.ResourceVersion); err != nil {
			return err
		}
		after := o.world.server.get(kind, key).DeepCopyObject().(client.Object)
		if err := setStatus(after, applied.Status); err != nil {
			return err
		}
		o.world.checkStatus(o, after)
		o.world.server.edit(kind, key, func(object client.Object) { copyStatus(object, after) })
		o.wrote[kind] = len(o.world.server.history)
		return nil
	})
}

func setStatus(object client.Object, text json.RawMessage) error {
	switch typed := object.(type) {
	case *v1alpha1.PipesToken:
		typed.Status = v1alpha1.PipesTokenStatus{}
		return json.Unmarshal(text, &typed.Status)
	case *v1alpha1.PipesEnvironment:
		typed.Status = v1alpha1.PipesEnvironmentStatus{}
		return json.Unmarshal(text, &typed.Status)
	}
	return fmt.Errorf("a %T has no status", object)
}

func copyStatus(into, from client.Object) {
	switch typed := into.(type) {
	case *v1alpha1.PipesToken:
		typed.Status = from.(*v1alpha1.PipesToken).Status
	case *v1alpha1.PipesEnvironment:
		typed.Status = from.(*v1alpha1.PipesEnvironment).Status
	}
}

// liveReader reads API keys from the stand-in, without a cache.
type liveReader struct {
	client.Reader // nil
	operator      *operator
}

func (r liveReader) Get(_ context.Context, key client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	p := r.operator.pass
	p.reading = true
	defer func() { p.reading = false }()
	return r.operator.ask("reading the API key", func() error {
		secret := r.operator.world.server.secret(key)
		if secret == nil {
			return apierrors.NewNotFound(secretResource, key.Name)
		}
		secret.DeepCopyInto(object.(*corev1.Secret))
		return nil
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }

// secretTransport carries the requests of the SecretClient.
func (o *operator) secretTransport() http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		var body []byte
		if request.Body != nil {
			var err error
			if body, err = io.ReadAll(request.Body); err != nil {
				return nil, err
			}
		}
		var answer any
		err := o.ask(request.Method+" of the Secret", func() (err error) {
			answer, err = o.serve(request, body)
			return err
		})
		if err == nil {
			o.learn(answer)
		}
		return respond(request, answer, err)
	})
}

// learn notes the versions of a Secret that an answer contains.
func (o *operator) learn(answer any) {
	switch typed := answer.(type) {
	case *metav1.PartialObjectMetadata:
		o.view.seen[typed.ResourceVersion] = true
	case *corev1.Secret:
		o.view.seen[typed.ResourceVersion] = true
	case *metav1.PartialObjectMetadataList:
		for _, item := range typed.Items {
			o.view.seen[item.ResourceVersion] = true
		}
	}
}

// serve lets the stand-in answer the request, and checks the changes that the request made to
// Secrets.
func (o *operator) serve(request *http.Request, body []byte) (any, error) {
	server := o.world.server
	before := len(server.history)
	answer, err := server.serveSecrets(request, body)
	o.checkWaste(request, err)
	for _, change := range server.history[before:] {
		old, _ := change.before.(*corev1.Secret)
		fresh, _ := change.after.(*corev1.Secret)
		if old != nil && !o.view.seen[old.ResourceVersion] {
			o.world.violatedf("invariant 2: a pass over %s has changed Secret %s, of which it did not know that it is as it was", o.pass.request, change.key)
		}
		if change.kind == secrets && (fresh == nil || old == nil || !equality.Semantic.DeepEqual(old, fresh)) {
			o.world.checkWrite(o, change.key, old, fresh)
		}
	}
	return answer, err
}

// mostWasted is how many answers of WorkOS in a row a process may waste on a Secret that admission
// does not let it write. Each time somebody edits the PipesToken or its environment, one more may be
// lost until the operator knows again.
const mostWasted = 3

// checkWaste checks that a process asks WorkOS for nothing more once it knows that admission refuses
// or changes the Secret: a dry run has to succeed first.
func (o *operator) checkWaste(request *http.Request, err error) {
	if request.Method != http.MethodPost && request.Method != http.MethodPatch {
		return
	}
	w, key := o.world, o.pass.request.NamespacedName
	dryRun := request.URL.Query().Get("dryRun") != ""
	switch {
	case err == nil && w.server.admission != strips:
		delete(o.wasted, key)
	case w.server.admission != admits && o.pass.asked > 0 && !dryRun && !apierrors.IsAlreadyExists(err):
		if o.wasted[key]++; o.wasted[key] > mostWasted {
			w.violatedf("invariant 12: %d answers in a row for %s have been lost to admission", o.wasted[key], key)
		}
	}
}
