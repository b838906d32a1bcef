//go:build reliability

package tenancy_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

var _ = DescribeTable("The API key of another namespace", func(ref, says string) {
	environment := newEnvironment(common.namespace, "own", `{apiKeySecretRef: `+ref+`}`)
	common.refused(byAPIServer(says), common.creating(common.admin, environment))
},
	attack("T10", "by a namespace", `{namespace: pipes-system}`, `unknown field "spec.apiKeySecretRef.namespace"`),
	attack("T10", "by a path", `{name: pipes-system/workos-api-key}`, nameRule),
	attack("T10", "by a path that leads up", `{name: ../../pipes-system/secrets/workos-api-key}`, nameRule),
	attack("T10", "by a path, escaped", `{name: "..%2fpipes-system%2fworkos-api-key"}`, nameRule),
	attack("T10", "by an entry that leads up", `{key: ../workos-api-key}`, `key must be letters`),
	attack("T10", "by itself", `sk_test`, `must be of type object`),
)

var _ = It("T10: a namespace in a reference to an API key, past strict validation, is dropped", Label("T10"), func() {
	w := newWorld(nothing)
	lenient := client.WithFieldValidation(w.admin, metav1.FieldValidationIgnore)
	environment := newEnvironment(w.namespace, "own", `{apiKeySecretRef: {namespace: pipes-system}}`)
	w.refused(byCondition(v1alpha1.APIKeyForbiddenReason, `in namespace "`+w.namespace+`"`), w.creating(lenient, environment))
})

var _ = DescribeTable("Another Secret of the own namespace as an API key, without the right to read it", func(secret, key string) {
	w := newWorld(one)
	w.synced("mine", `{}`)
	w.must(w.serviceAccountToken("robot"))
	environment := newEnvironment(w.namespace, "own", `{apiKeySecretRef: {name: `+secret+`, key: `+key+`}}`)
	token := w.pipesToken("asks", ownToken)
	before := w.takeStock()
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	says := `The operator may not read Secret "` + secret + `" in namespace "` + w.namespace + `": give its service account get on that Secret`
	w.expectReady(environment, v1alpha1.APIKeyForbiddenReason, says)
	w.expectReady(token, v1alpha1.EnvironmentNotReadyReason, says)
	w.expectNothingDone(before)
},
	attack("T10", "the token of a PipesToken", "mine", "access_token"),
	attack("T10", "the token of a service account", "robot", "token"),
	attack("T10", "one that does not exist, of which no more is told", "missing", "api-key"),
)

var _ = DescribeTable("A Secret that may be read, and is no API key", func(value string) {
	w := newWorld(nothing)
	w.letKeysBeRead()
	secret := newSecret(w.namespace, "own-api-key", map[string]string{"api-key": value})
	w.must(secret)
	environment, token := w.ownEnvironment("https://api.workos.com"), w.pipesToken("mine", ownToken)
	before := w.takeStock()
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(environment, v1alpha1.APIKeyInvalidReason, `Entry "api-key" of Secret "own-api-key" is not an API key`)
	w.expectReady(token, v1alpha1.EnvironmentNotReadyReason, `is not an API key`)
	w.expectNothingDone(before)
},
	attack("T10", "headers behind it", "sk_canary\r\nHost: loopback.example.com"),
	attack("T10", "a private key", "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----"),
	attack("T10", "a kubeconfig", "apiVersion: v1\nkind: Config\nusers: [{name: canary}]"),
	attack("T10", "bytes", "canary\x00\x01\x02"),
	attack("T10", "letters that are not ASCII", "canary_\u0430"),
	attack("T10", "nothing", " \n"),
)

var _ = It("T10: a token that may be read goes to WorkOS alone, is refused there, and is told to nobody", Label("T10"), func() {
	w := newWorld(one)
	w.synced("mine", `{}`)
	w.letKeysBeRead()
	environment := newEnvironment(w.namespace, "own", `{apiKeySecretRef: {name: mine, key: access_token}}`)
	token := w.pipesToken("asks", ownToken)
	before := w.takeStock()
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.EnvironmentNotReadyReason, `WorkOS refuses the API key`)
	w.expectReady(environment, v1alpha1.APIKeyRejectedReason, `put a valid one into entry "access_token" of Secret "mine"`)
	w.expectOnly(before, askedForGitHub)
})

// serviceAccountToken creates a service account in the tenant's namespace, and returns a Secret
// for its token.
func (w *world) serviceAccountToken(name string) *corev1.Secret {
	GinkgoHelper()
	w.must(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}})
	secret := newSecret(w.namespace, name, map[string]string{"token": strings.Repeat("canary", 9)})
	secret.Type, secret.Annotations = corev1.SecretTypeServiceAccountToken, map[string]string{corev1.ServiceAccountNameKey: name}
	return secret
}
