//go:build reliability

package tenancy_test

import (
	"fmt"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Error messages of the API server for a secretTemplate that would create a Secret that other
// software acts on.
const (
	typeRule     = `spec.secretTemplate.type: Unsupported value`
	reservedRule = `in the domains kubernetes.io, k8s.io, x-k8s.io and pipes.workos.com are reserved`
	keyRule      = `must be up to 63 letters`
	valueRule    = `values of labels must be letters`
	dataKeyRule  = `keys of data must be up to 253 letters`
)

var _ = DescribeTable("A Secret that means something to others", func(template, says string) {
	token := common.pipesToken("theirs", `{secretTemplate: `+strings.ReplaceAll(template, "LONG", strings.Repeat("a", 300))+`}`)
	common.refused(byAPIServer(says), common.creating(common.editor, token))
},
	attack("T11", "the type of a service account's token", `{type: kubernetes.io/service-account-token}`, typeRule),
	attack("T11", "the type of a bootstrap token", `{type: bootstrap.kubernetes.io/token}`, typeRule),
	attack("T11", "the type of a TLS key", `{type: kubernetes.io/tls}`, typeRule),
	attack("T11", "the type of an SSH key", `{type: kubernetes.io/ssh-auth}`, typeRule),
	attack("T11", "the old type of an image registry", `{type: kubernetes.io/dockercfg}`, typeRule),
	attack("T11", "the type of a Helm release", `{type: helm.sh/release.v1}`, typeRule),
	attack("T11", "a type in another case", `{type: OPAQUE}`, typeRule),
	attack("T11", "no type", `{type: ""}`, typeRule),
	attack("T11", "the name of a service account", `{annotations: {kubernetes.io/service-account.name: default}}`, reservedRule),
	attack("T11", "the UID of a service account", `{annotations: {kubernetes.io/service-account.uid: x}}`, reservedRule),
	attack("T11", "what kubectl has applied", `{annotations: {kubectl.kubernetes.io/last-applied-configuration: "{}"}}`, reservedRule),
	attack("T11", "an annotation of a domain below k8s.io", `{annotations: {a.b.k8s.io/x: v}}`, reservedRule),
	attack("T11", "the label of a Cluster API cluster", `{labels: {cluster.x-k8s.io/cluster-name: victim}}`, reservedRule),
	attack("T11", "an annotation of x-k8s.io", `{annotations: {x-k8s.io/x: v}}`, reservedRule),
	attack("T11", "a fact about another token", `{annotations: {pipes.workos.com/expires-at: never}}`, reservedRule),
	attack("T11", "a fact in capitals", `{annotations: {PIPES.WORKOS.COM/expires-at: never}}`, keyRule),
	attack("T11", "a fact with a space", `{annotations: {" pipes.workos.com/expires-at": never}}`, keyRule),
	attack("T11", "a fact with a stop", `{annotations: {pipes.workos.com./expires-at: never}}`, keyRule),
	attack("T11", "a fact in the second part", `{annotations: {example.com/pipes.workos.com/expires-at: never}}`, keyRule),
	attack("T11", "a domain with a Cyrillic letter", `{annotations: {"kubern\u0435tes.io/x": v}}`, keyRule),
	attack("T11", "the label of another PipesToken's Secret", `{labels: {pipes.workos.com/token: victim}}`, reservedRule),
	attack("T11", "the label of another manager", `{labels: {app.kubernetes.io/managed-by: Helm}}`, reservedRule),
	attack("T11", "the label of a trusted bundle", `{labels: {node.kubernetes.io/x: v}}`, reservedRule),
	attack("T11", "the token in a label", `{labels: {token: "{{ .AccessToken }}"}}`, valueRule),
	attack("T11", "a label with a line break", `{labels: {token: "a\nb"}}`, valueRule),
	attack("T11", "17 labels", `{labels: {`+numbered(17)+`}}`, `Too many: 17`),
	attack("T11", "17 annotations", `{annotations: {`+numbered(17)+`}}`, `Too many: 17`),
	attack("T11", "a long annotation", `{annotations: {a: `+strings.Repeat("a", 4097)+`}}`, `Too long`),
	attack("T11", "a key that leads up", `{data: {"..": x}}`, dataKeyRule),
	attack("T11", "a key that is here", `{data: {".": x}}`, dataKeyRule),
	attack("T11", "a key that kubelet uses", `{data: {..data: x}}`, dataKeyRule),
	attack("T11", "a key with a path", `{data: {../../etc/passwd: x}}`, dataKeyRule),
	attack("T11", "a key with a backslash", `{data: {'a\b': x}}`, dataKeyRule),
	attack("T11", "a key with a line break", `{data: {"a\n": x}}`, dataKeyRule),
	attack("T11", "an empty key", `{data: {"": x}}`, dataKeyRule),
	attack("T11", "a long key", `{data: {LONG: x}}`, dataKeyRule),
	attack("T11", "17 keys", `{data: {`+numbered(17)+`}}`, `Too many: 17`),
	attack("T11", "data past the template", `{stringData: {a: b}}`, `unknown field`),
	attack("T11", "64 KiB and one byte", `{data: {`+sized(7, 8192)+`, k: `+strings.Repeat("x", 64<<10-7*(2+8192))+`}}`, `at most 65536 bytes`),
	attack("T11", "an owner", `{ownerReferences: [{name: x}]}`, `unknown field`),
	attack("T11", "a finalizer", `{finalizers: [example.com/x]}`, `unknown field`),
	attack("T11", "a Secret that cannot be changed", `{immutable: true}`, `unknown field`),
)

var _ = DescribeTable("A Secret that tells another controller what to do", func(template, says string) {
	w := newWorld(one)
	token := w.pipesToken("theirs", `{secretTemplate: `+template+`}`)
	w.connect(token)
	w.refused(byCondition(v1alpha1.InvalidTemplateReason, says+" acts on Secrets with such a key"), w.creating(w.editor, token))
},
	attack("T11", "a cluster of Argo CD", `{labels: {argocd.argoproj.io/secret-type: cluster}}`, `Argo CD`),
	attack("T11", "an object of an Argo CD application", `{annotations: {argocd.argoproj.io/tracking-id: "app:/Secret:ns/x"}}`, `Argo CD`),
	attack("T11", "a sealing key", `{labels: {sealedsecrets.bitnami.com/sealed-secrets-key: active}}`, `Sealed Secrets`),
	attack("T11", "a copy of another Secret", `{annotations: {replicator.v1.mittwald.de/replicate-from: pipes-system/workos-api-key}}`, `Kubernetes Replicator`),
	attack("T11", "a copy for all namespaces", `{annotations: {reflector.v1.k8s.emberstack.com/reflection-auto-enabled: "true"}}`, `Reflector`),
	attack("T11", "the same, by another controller", `{annotations: {kubed.appscode.com/sync: ""}}`, `Config Syncer`),
	attack("T11", "an object of a Flux Kustomization", `{labels: {kustomize.toolkit.fluxcd.io/name: victim}}`, `Flux`),
	attack("T11", "a CA for webhooks", `{annotations: {cert-manager.io/allow-direct-injection: "true"}}`, `cert-manager`),
	attack("T11", "a cluster of Istio", `{labels: {istio/multiCluster: "true"}}`, `Istio`),
	attack("T11", "credentials of Jenkins", `{labels: {jenkins.io/credentials-type: secretText}}`, `Jenkins`),
	attack("T11", "credentials of Tekton", `{annotations: {tekton.dev/git-0: https://attacker.example.com}}`, `Tekton`),
	attack("T11", "an API key of Authorino", `{labels: {authorino.kuadrant.io/managed-by: authorino}, data: {api_key: chosen}}`, `Authorino`),
	attack("T11", "a token of a service account, by Gardener", `{labels: {resources.gardener.cloud/purpose: token-requestor}}`, `Gardener`),
	attack("T11", "a user of Elasticsearch", `{labels: {common.k8s.elastic.co/type: user}}`, `Elastic Cloud on Kubernetes`),
	attack("T11", "values from Vault", `{annotations: {vault.security.banzaicloud.io/vault-role: victim}}`, `Bank-Vaults`),
	attack("T11", "an object of a Helm release", `{annotations: {meta.helm.sh/release-name: victim}}`, `Helm`),
)

var _ = It("T11: a template that is refused is not written when the token is taken away", Label("T11"), func() {
	const key = "replicator.v1.mittwald.de/replicate-from"
	w := newWorld(one)
	token := w.synced("mine", `{}`)
	Expect(w.edit(w.editor, token, func() {
		annotations := map[string]any{key: "pipes-system/workos-api-key"}
		Expect(unstructured.SetNestedMap(token.Object, annotations, "spec", "secretTemplate", "annotations")).To(Succeed())
	})).To(Succeed())
	w.expectReady(token, v1alpha1.InvalidTemplateReason, "")
	w.withdraw()
	w.expectReady(token, v1alpha1.NotGrantedReason, "")
	secret := &corev1.Secret{}
	Expect(root.Get(w.ctx, client.ObjectKeyFromObject(token), secret)).To(Succeed())
	Expect(secret.Data).To(BeEmpty())
	Expect(secret.Annotations).NotTo(HaveKey(key))
})

// sized returns n map entries with keys of 2 bytes and values of length bytes, as YAML.
func sized(n, length int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf("s%d: %s", i, strings.Repeat("x", length))
	}
	return strings.Join(entries, ", ")
}

// numbered returns n map entries, as YAML.
func numbered(n int) string {
	entries := make([]string, n)
	for i := range entries {
		entries[i] = fmt.Sprintf("k%d: v", i)
	}
	return strings.Join(entries, ", ")
}

var _ = It("T12: an annotation of the Secret is no template", Label("T12"), func() {
	w := newWorld(one)
	token := w.synced("mine", `{secretTemplate: {annotations: {example.com/token: "{{ .AccessToken }}"}}}`)
	secret := &corev1.Secret{}
	Expect(root.Get(w.ctx, client.ObjectKeyFromObject(token), secret)).To(Succeed())
	Expect(secret.Data).To(HaveKeyWithValue("access_token", ContainSubstring("canary")))
	Expect(secret.Annotations).To(HaveKeyWithValue("example.com/token", "{{ .AccessToken }}"))
})

var _ = DescribeTable("An upstream that tells what it was sent", func(status int, body, reason string) {
	w := newWorld(one)
	network.answerWith(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-ID", r.Header.Get("Authorization"))
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, body, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	})
	token := w.pipesToken("mine", `{}`)
	before := w.takeStock()
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, reason, "")
	w.expectOnly(before, askedForGitHub)
	expectNoCanaryIn(w.namespace)
},
	attack("T12", "in a message", 400, `{"message": "%s is not welcome"}`, v1alpha1.RequestRejectedReason),
	attack("T12", "in the reason of an inactive connection", 200, `{"active": false, "error": "%s"}`, v1alpha1.InactiveReason),
	attack("T12", "in a page", 500, `<html>%s</html>`, v1alpha1.UpstreamUnavailableReason),
	attack("T18", "in an answer that is no JSON", 200, `%s`, v1alpha1.UpstreamUnavailableReason),
	attack("T18", "as a token that ends a header", 200, `{"active": true, "access_token": {"access_token": "%s\r\nx: y", "expires_at": null, "scopes": []}}`, v1alpha1.UpstreamUnavailableReason),
	attack("T18", "as a scope that is long", 403, `{"message": "%s`+strings.Repeat("x", 4096)+`"}`, v1alpha1.RequestRejectedReason),
)
