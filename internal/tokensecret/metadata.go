package tokensecret

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Labels and annotations of a Secret can make another controller act: copy the Secret to other
// namespaces, fill it with the content of another Secret, delete it, or trust its content. The
// operator writes Secrets for users who may have no right to write Secrets, and must not give
// them these powers. Keys without a domain are allowed, because no controller owns them.

// reservedDomains belong to Kubernetes and to this operator. The CRD rejects their keys. They
// are rejected here again, for objects that were stored under an older CRD.
var reservedDomains = []string{"kubernetes.io", "k8s.io", "x-k8s.io", "pipes.workos.com"}

// reader is a controller that finds Secrets by their labels or annotations and acts on them.
type reader struct {
	// domain is the domain of the keys that the controller reads. Subdomains are included.
	domain string
	// name is the name that users know.
	name string
}

// readers are sorted by domain. Each entry needs a reason. The list does not contain domains
// whose keys only select a behaviour that a workload has asked for itself. An example is
// reloader.stakater.com, which restarts workloads that opted in.
var readers = []reader{
	// kubed.appscode.com/sync copies the Secret to other namespaces.
	{"appscode.com", "Config Syncer"},
	// argocd.argoproj.io/secret-type makes the Secret a cluster or a repository.
	{"argoproj.io", "Argo CD"},
	// Bank-Vaults fills the Secret with values from Vault.
	{"bank-vaults.io", "Bank-Vaults"},
	// vault.security.banzaicloud.io fills the Secret with values from Vault too.
	{"banzaicloud.io", "Bank-Vaults"},
	// sealedsecrets.bitnami.com/sealed-secrets-key makes the Secret a sealing key.
	{"bitnami.com", "Sealed Secrets"},
	// secretgen.carvel.dev/image-pull-secret fills the Secret with credentials.
	{"carvel.dev", "secretgen-controller"},
	// Cloud credentials and cluster registrations are Secrets with labels.
	{"cattle.io", "Rancher"},
	// cert-manager.io/allow-direct-injection puts the content of the Secret into webhooks.
	{"cert-manager.io", "cert-manager"},
	// Capsule acts on capsule.clastix.io/replicate and on its tenant labels.
	{"clastix.io", "Capsule"},
	// ClusterSecret copies Secrets to other namespaces, and cleans up copies.
	{"clustersecret.io", "ClusterSecret"},
	// Crossplane puts owner labels on connection Secrets.
	{"crossplane.io", "Crossplane"},
	// common.k8s.elastic.co/type with the value user adds users to a cluster.
	{"elastic.co", "Elastic Cloud on Kubernetes"},
	// reflector.v1.k8s.emberstack.com copies in both directions.
	{"emberstack.com", "Reflector"},
	// Labels name the owner, and the Secrets that generators may read.
	{"external-secrets.io", "External Secrets"},
	// kustomize.toolkit.fluxcd.io has owner labels. The other domain is reconcile.fluxcd.io.
	{"fluxcd.io", "Flux"},
	// resources.gardener.cloud/purpose with the value token-requestor fills the Secret.
	{"gardener.cloud", "Gardener"},
	// configmanagement.gke.io/managed: Config Sync deletes objects that its repository lacks.
	{"gke.io", "Config Sync"},
	// secrets.hashicorp.com has owner labels, by which the controller deletes orphans.
	{"hashicorp.com", "Vault Secrets Operator"},
	// istio/multiCluster makes the Secret the credentials of a cluster.
	{"istio", "Istio"},
	// Newer keys of Istio have this domain.
	{"istio.io", "Istio"},
	// jenkins.io/credentials-type offers the Secret to every job.
	{"jenkins.io", "Jenkins"},
	// kapp.k14s.io/app: kapp deletes objects that an app no longer has.
	{"k14s.io", "kapp"},
	// Knative acts on build.knative.dev/git-0 and on networking.internal.knative.dev.
	{"knative.dev", "Knative"},
	// konghq.com/credential makes the Secret the credentials of a consumer.
	{"konghq.com", "Kong"},
	// authorino.kuadrant.io/managed-by makes the Secret a valid API key.
	{"kuadrant.io", "Authorino"},
	// generate.kyverno.io clones the Secret. cleanup.kyverno.io/ttl deletes it.
	{"kyverno.io", "Kyverno"},
	// liqo.io/identity-type makes the Secret the credentials of a cluster.
	{"liqo.io", "Liqo"},
	// loft.sh/project-secret and vcluster.loft.sh sync Secrets.
	{"loft.sh", "vCluster Platform"},
	// meta.helm.sh/release-name lets a release adopt the Secret.
	{"meta.helm.sh", "Helm"},
	// replicator.v1.mittwald.de copies in both directions.
	{"mittwald.de", "Kubernetes Replicator"},
	// OCM copies Secrets to managed clusters and into backups.
	{"open-cluster-management.io", "OCM"},
	// build.openshift.io/source-secret-match-uri-1 offers the Secret to builds.
	{"openshift.io", "OpenShift"},
	// strimzi.io/cluster and strimzi.io/kind make the Secret a CA of a Kafka cluster.
	{"strimzi.io", "Strimzi"},
	// tekton.dev/git-0 sends the Secret to a Git host, tekton.dev/docker-0 to a registry.
	{"tekton.dev", "Tekton"},
	// Velero keeps the Secret out of backups, or ties it to a backup.
	{"velero.io", "Velero"},
}

// checkMetadata returns an error if another controller acts on a label or an annotation.
// allowed are domains, including their subdomains, that an administrator has allowed. Reserved
// domains cannot be allowed.
func checkMetadata(spec *v1alpha1.SecretTemplate, allowed []string) error {
	for _, key := range slices.Sorted(maps.Keys(spec.Labels)) {
		if err := checkKey(key, allowed); err != nil {
			return fmt.Errorf("secretTemplate.labels[%q]: %w", key, err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(spec.Annotations)) {
		if err := checkKey(key, allowed); err != nil {
			return fmt.Errorf("secretTemplate.annotations[%q]: %w", key, err)
		}
	}
	return nil
}

func checkKey(key string, allowed []string) error {
	domain, _, found := strings.Cut(key, "/")
	if !found {
		return nil
	}
	if ReservedDomain(domain) {
		return fmt.Errorf("the domain %s is reserved: use another", domain)
	}
	if slices.ContainsFunc(allowed, func(parent string) bool { return within(domain, parent) }) {
		return nil
	}
	at := slices.IndexFunc(readers, func(r reader) bool { return within(domain, r.domain) })
	if at < 0 {
		return nil
	}
	return fmt.Errorf("%s acts on Secrets with such a key: remove it, "+
		"or have an administrator start the operator with --allowed-secret-metadata=%s", readers[at].name, domain)
}

// ReservedDomain reports whether keys of the domain are never allowed on a Secret.
func ReservedDomain(domain string) bool {
	return slices.ContainsFunc(reservedDomains, func(parent string) bool { return within(domain, parent) })
}

// within reports whether domain is parent or a subdomain of it.
func within(domain, parent string) bool {
	rest, found := strings.CutSuffix(domain, parent)
	return found && (rest == "" || strings.HasSuffix(rest, "."))
}
