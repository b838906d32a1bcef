//go:build reliability

package model_test

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// secretEdit is a Secret that a stranger edits.
type secretEdit struct{ *corev1.Secret }

// editSecret changes a Secret as kubectl edit does. The stand-in refuses invalid changes.
func (w *world) editSecret(key types.NamespacedName, manager string, edit func(*secretEdit)) {
	live := w.server.secret(key)
	if live == nil || key.Name == apiKeySecret {
		return
	}
	changed := live.DeepCopy()
	edit(&secretEdit{changed})
	_, err := w.server.updateSecret(changed, manager, false)
	if err != nil {
		w.logf("%s: is refused: %v", manager, err)
	}
}

// drawIntrusion draws an action of a stranger on a Secret that is, or could be, one of ours.
func (w *world) drawIntrusion(t *rapid.T) func() {
	return w.drawIntrusionOn(t, types.NamespacedName{Namespace: draw(t, "namespace", tenants...), Name: draw(t, "secret", secretNames...)})
}

func (w *world) drawIntrusionOn(t *rapid.T, key types.NamespacedName) func() {
	what := draw(t, "stranger", "create", "create with our labels", "create with our owner", "data", "data, same value", "remove key", "annotation",
		"fact", "remove fact", "label", "remove our label", "orphan", "owner", "immutable", "finalizer", "no finalizer", "delete")
	return func() {
		w.logf("stranger: %s %s", what, key)
		switch what {
		case "create", "create with our labels", "create with our owner":
			w.createForeign(key, what)
		case "delete":
			if w.server.secret(key) != nil {
				w.server.remove(secrets, key)
			}
		default:
			w.editSecret(key, "kubectl", func(secret *secretEdit) { strangerEdits[what](secret) })
		}
	}
}

// createForeign creates a Secret that is not ours. It may have our labels, or a PipesToken as
// owner.
func (w *world) createForeign(key types.NamespacedName, how string) {
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name},
		Data:       map[string][]byte{"password": []byte("canary_stranger")},
	}
	if how != "create" {
		secret.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue, v1alpha1.TokenLabel: "x"}
	}
	if how == "create with our owner" {
		for _, name := range w.server.keys(tokens) {
			if token := w.server.token(name); token.Namespace == key.Namespace {
				secret.OwnerReferences = []metav1.OwnerReference{{
					APIVersion: v1alpha1.GroupVersion.String(), Kind: "PipesToken", Name: token.Name, UID: token.UID, Controller: ptr.To(true),
				}}
			}
		}
	}
	_, _ = w.server.createSecret(secret, "kubectl", false) // the name may be taken
}

// strangerEdits are edits of a Secret by somebody other than the operator.
var strangerEdits = map[string]func(*secretEdit){
	"data": func(s *secretEdit) {
		s.Data = map[string][]byte{"access_token": []byte("canary_stranger"), "config": []byte("canary_stranger"), "password": []byte("x")}
	},
	"data, same value": func(s *secretEdit) {
		data := map[string][]byte{"added": []byte("x")}
		for key, value := range s.Data {
			data[key] = value
		}
		s.Data = data
	},
	"remove key": func(s *secretEdit) {
		delete(s.Data, "access_token")
		delete(s.Data, "config")
	},
	"annotation": func(s *secretEdit) { s.Annotations = with(s.Annotations, "stranger/note", "kept") },
	"fact": func(s *secretEdit) {
		s.Annotations = with(s.Annotations, tokensecret.ExpiresAtAnnotation, "2030-01-01T00:00:00Z")
	},
	"remove fact": func(s *secretEdit) { delete(s.Annotations, tokensecret.TokenHashAnnotation) },
	"label":       func(s *secretEdit) { s.Labels = with(s.Labels, "stranger", "kept") },
	"remove our label": func(s *secretEdit) {
		delete(s.Labels, v1alpha1.ManagedByLabel)
	},
	"orphan": func(s *secretEdit) { s.OwnerReferences = nil },
	"owner": func(s *secretEdit) {
		s.OwnerReferences = append(s.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "stranger", UID: types.UID("uid-stranger-" + itoa(len(s.OwnerReferences)))})
	},
	"immutable":    func(s *secretEdit) { s.Immutable = ptr.To(true) },
	"finalizer":    func(s *secretEdit) { s.Finalizers = []string{"stranger/finalizer"} },
	"no finalizer": func(s *secretEdit) { s.Finalizers = nil },
}

func with(m map[string]string, key, value string) map[string]string {
	copied := map[string]string{key: value}
	for k, v := range m {
		if k != key {
			copied[k] = v
		}
	}
	return copied
}
