package tokensecret

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// The operator writes Secrets for users who may have no right to write Secrets. Labels and
// annotations of such a Secret must not be orders to another controller: to copy the Secret to
// other namespaces, to fill it with the content of another Secret, to delete it, or to trust what
// is in it. Keys without a domain are allowed: they have no owner.

// reservedDomains belong to Kubernetes and to this operator. The CRD refuses their keys; they are
// refused again here for objects that were stored under an older CRD.
var reservedDomains = []string{"kubernetes.io", "k8s.io", "x-k8s.io", "pipes.workos.com"}

// reader is a controller that finds Secrets by their labels or annotations and acts on them.
type reader struct {
	// domain of the keys that it reads; subdomains are included.
	domain string
	// name is what users call it.
	name string
}

// readers are in the order of their domains. An entry needs a reason. Not in the list are domains
// whose keys only select what a workload has asked for itself, such as reloader.stakater.com, which
// restarts workloads that opted in.
var readers = []reader{
	{"appscode.com", "Config Syncer"},             // kubed.appscode.com/sync copies a Secret to other namespaces
	{"argoproj.io", "Argo CD"},                    // argocd.argoproj.io/secret-type makes it a cluster or a repository
	{"bank-vaults.io", "Bank-Vaults"},             // fills a Secret with values from Vault
	{"banzaicloud.io", "Bank-Vaults"},             // vault.security.banzaicloud.io: the same
	{"bitnami.com", "Sealed Secrets"},             // sealedsecrets.bitnami.com/sealed-secrets-key makes it a sealing key
	{"carvel.dev", "secretgen-controller"},        // secretgen.carvel.dev/image-pull-secret fills it with credentials
	{"cattle.io", "Rancher"},                      // cloud credentials and cluster registrations are Secrets with labels
	{"cert-manager.io", "cert-manager"},           // cert-manager.io/allow-direct-injection puts it into webhooks
	{"clastix.io", "Capsule"},                     // capsule.clastix.io/replicate and its tenant labels
	{"clustersecret.io", "ClusterSecret"},         // copies to other namespaces, and cleans copies up
	{"crossplane.io", "Crossplane"},               // owner labels of connection Secrets
	{"elastic.co", "Elastic Cloud on Kubernetes"}, // common.k8s.elastic.co/type: user adds users to a cluster
	{"emberstack.com", "Reflector"},               // reflector.v1.k8s.emberstack.com copies in both directions
	{"external-secrets.io", "External Secrets"},   // owner labels, and what generators may read
	{"fluxcd.io", "Flux"},                         // kustomize.toolkit.fluxcd.io owner labels and reconcile.fluxcd.io
	{"gardener.cloud", "Gardener"},                // resources.gardener.cloud/purpose: token-requestor fills it
	{"gke.io", "Config Sync"},                     // configmanagement.gke.io/managed: deletes what its repository lacks
	{"hashicorp.com", "Vault Secrets Operator"},   // secrets.hashicorp.com owner labels: deletes orphans
	{"istio", "Istio"},                            // istio/multiCluster makes it the credentials of a cluster
	{"istio.io", "Istio"},                         // the newer keys of Istio
	{"jenkins.io", "Jenkins"},                     // jenkins.io/credentials-type offers it to every job
	{"k14s.io", "kapp"},                           // kapp.k14s.io/app: kapp deletes what an app no longer has
	{"knative.dev", "Knative"},                    // build.knative.dev/git-0, networking.internal.knative.dev
	{"konghq.com", "Kong"},                        // konghq.com/credential makes it a consumer's credentials
	{"kuadrant.io", "Authorino"},                  // authorino.kuadrant.io/managed-by makes it a valid API key
	{"kyverno.io", "Kyverno"},                     // generate.kyverno.io clones it; cleanup.kyverno.io/ttl deletes it
	{"liqo.io", "Liqo"},                           // liqo.io/identity-type makes it the credentials of a cluster
	{"loft.sh", "vCluster Platform"},              // loft.sh/project-secret and vcluster.loft.sh sync Secrets
	{"meta.helm.sh", "Helm"},                      // meta.helm.sh/release-name: a release adopts it
	{"mittwald.de", "Kubernetes Replicator"},      // replicator.v1.mittwald.de copies in both directions
	{"open-cluster-management.io", "OCM"},         // copies Secrets to managed clusters and into backups
	{"openshift.io", "OpenShift"},                 // build.openshift.io/source-secret-match-uri-1 offers it to builds
	{"strimzi.io", "Strimzi"},                     // strimzi.io/cluster and kind make it a CA of a Kafka cluster
	{"tekton.dev", "Tekton"},                      // tekton.dev/git-0 sends it to a Git host, docker-0 to a registry
	{"velero.io", "Velero"},                       // keeps it out of backups, or ties it to one
}

// checkMetadata refuses labels and annotations that another controller reads as orders. allowed are
// domains, each with its subdomains, that an administrator has allowed all the same; the reserved
// ones cannot be.
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
	return fmt.Errorf("%s acts on Secrets with such a key: remove it, or have an administrator start the operator with --allowed-secret-metadata=%s",
		readers[at].name, domain)
}

// ReservedDomain says whether keys of the domain are never allowed on a Secret.
func ReservedDomain(domain string) bool {
	return slices.ContainsFunc(reservedDomains, func(parent string) bool { return within(domain, parent) })
}

// within says whether domain is parent or a subdomain of it.
func within(domain, parent string) bool {
	rest, found := strings.CutSuffix(domain, parent)
	return found && (rest == "" || strings.HasSuffix(rest, "."))
}
