package tokensecret_test

import (
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// both returns templates with the key as a label and as an annotation.
func both(key string) map[string]*v1alpha1.SecretTemplate {
	return map[string]*v1alpha1.SecretTemplate{
		"labels":      {Labels: map[string]v1alpha1.LabelValue{"app": "x", key: "v"}},
		"annotations": {Annotations: map[string]v1alpha1.AnnotationValue{"app": "x", key: "v"}},
	}
}

func TestKeysThatOtherControllersActOnAreRefused(t *testing.T) {
	for key, controller := range map[string]string{
		"argocd.argoproj.io/secret-type":                     "Argo CD",
		"argoproj.io/x":                                      "Argo CD",
		"authorino.kuadrant.io/managed-by":                   "Authorino",
		"build.openshift.io/source-secret-match-uri-1":       "OpenShift",
		"capsule.clastix.io/replicate":                       "Capsule",
		"cert-manager.io/allow-direct-injection":             "cert-manager",
		"acme.cert-manager.io/http01-edit-in-place":          "cert-manager",
		"clustersecret.io/refresh":                           "ClusterSecret",
		"common.k8s.elastic.co/type":                         "Elastic Cloud on Kubernetes",
		"configmanagement.gke.io/managed":                    "Config Sync",
		"crossplane.io/composite":                            "Crossplane",
		"external-secrets.io/type":                           "External Secrets",
		"generate.kyverno.io/clone-source":                   "Kyverno",
		"istio/multiCluster":                                 "Istio",
		"istio.io/rev":                                       "Istio",
		"networking.istio.io/x":                              "Istio",
		"jenkins.io/credentials-type":                        "Jenkins",
		"kapp.k14s.io/app":                                   "kapp",
		"konghq.com/credential":                              "Kong",
		"kubed.appscode.com/sync":                            "Config Syncer",
		"kustomize.toolkit.fluxcd.io/name":                   "Flux",
		"reconcile.fluxcd.io/watch":                          "Flux",
		"liqo.io/identity-type":                              "Liqo",
		"management.cattle.io/x":                             "Rancher",
		"meta.helm.sh/release-name":                          "Helm",
		"networking.internal.knative.dev/certificate-uid":    "Knative",
		"cluster.open-cluster-management.io/backup":          "OCM",
		"operator.tekton.dev/x":                              "Tekton",
		"tekton.dev/git-0":                                   "Tekton",
		"reflector.v1.k8s.emberstack.com/reflects":           "Reflector",
		"replicator.v1.mittwald.de/replicate-from":           "Kubernetes Replicator",
		"secret-generator.v1.mittwald.de/autogenerate":       "Kubernetes Replicator",
		"resources.gardener.cloud/purpose":                   "Gardener",
		"sealedsecrets.bitnami.com/sealed-secrets-key":       "Sealed Secrets",
		"secretgen.carvel.dev/image-pull-secret":             "secretgen-controller",
		"secrets-webhook.security.bank-vaults.io/vault-addr": "Bank-Vaults",
		"vault.security.banzaicloud.io/vault-addr":           "Bank-Vaults",
		"secrets.hashicorp.com/vso-ownerRefUID":              "Vault Secrets Operator",
		"strimzi.io/cluster":                                 "Strimzi",
		"velero.io/exclude-from-backup":                      "Velero",
		"vcluster.loft.sh/x":                                 "vCluster Platform",
	} {
		domain, _, _ := strings.Cut(key, "/")
		parent := domain[strings.Index(domain, ".")+1:]
		for kind, spec := range both(key) {
			t.Run(kind+" "+key, func(t *testing.T) {
				want := `secretTemplate.` + kind + `["` + key + `"]: ` + controller + ` acts on Secrets with such a key: ` +
					`remove it, or have an administrator start the operator with --allowed-secret-metadata=` + domain
				if _, err := compileTemplate(spec); err == nil || err.Error() != want {
					t.Errorf("got %v\nwant %s", err, want)
				}
				for _, allowed := range []string{domain, parent} {
					if _, err := compileTemplate(spec, "example.com", allowed); err != nil {
						t.Errorf("with %s allowed: %v", allowed, err)
					}
				}
				for _, other := range []string{"x." + domain, "x" + domain, domain + ".example.com", ""} {
					if _, err := compileTemplate(spec, other); err == nil {
						t.Errorf("with %q allowed: compiled", other)
					}
				}
			})
		}
	}
}

func TestReservedKeysAreRefusedWhateverIsAllowed(t *testing.T) {
	for _, key := range []string{
		"kubernetes.io/x", "app.kubernetes.io/managed-by", "k8s.io/x", "a.b.k8s.io/x", "x-k8s.io/x", "cluster.x-k8s.io/cluster-name",
		"pipes.workos.com/token", "a.pipes.workos.com/x",
	} {
		domain, _, _ := strings.Cut(key, "/")
		for kind, spec := range both(key) {
			_, err := compileTemplate(spec, domain, "io", "com")
			if err == nil || !strings.Contains(err.Error(), "the domain "+domain+" is reserved") {
				t.Errorf("%s %s: got %v", kind, key, err)
			}
		}
		if !tokensecret.ReservedDomain(domain) {
			t.Errorf("%s is not reserved", domain)
		}
	}
}

func TestOtherKeysAreAllowed(t *testing.T) {
	for _, key := range []string{
		"app", "team", "argocd.argoproj.io", "istio", "example.com/x", "workos.com/x", "mykubernetes.io/x", "kubernetes.io.example.com/x",
		"myargoproj.io/x", "argoproj.io.example.com/x", "helm.sh/chart", "reloader.stakater.com/match", "istio-system/x", "notistio/x",
		"mittwald.de.example.com/x",
	} {
		for kind, spec := range both(key) {
			if _, err := compileTemplate(spec); err != nil {
				t.Errorf("%s %s: %v", kind, key, err)
			}
		}
	}
}

// A message that changed from one reconcile to the next would be written to the status each time.
func TestTheFirstKeyInOrderIsNamed(t *testing.T) {
	spec := &v1alpha1.SecretTemplate{
		Labels:      map[string]v1alpha1.LabelValue{"velero.io/b": "", "jenkins.io/a": "", "istio/c": "", "app": ""},
		Annotations: map[string]v1alpha1.AnnotationValue{"argoproj.io/a": ""},
		Data:        map[string]v1alpha1.DataTemplate{"k": "{{ .Nope }}"},
	}
	for range 50 {
		if _, err := compileTemplate(spec); err == nil || !strings.HasPrefix(err.Error(), `secretTemplate.labels["istio/c"]: `) {
			t.Fatalf("got %v", err)
		}
	}
}
