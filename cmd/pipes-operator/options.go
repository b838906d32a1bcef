package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// options are the operator's flags.
type options struct {
	shardOptions

	defaultEnvironment   string
	allowedUpstreamHosts string
	allowInsecure        bool

	watchNamespaces       string
	ignoreNamespaceLabels bool

	allowedSecretMetadata string

	auditLog string

	maxConcurrentReconciles int
	kubeAPIQPS              float64
	kubeAPIBurst            int

	leaderElect            bool
	leaderElectID          string
	leaderElectNamespace   string
	metricsBindAddress     string
	metricsSecure          bool
	metricsCertDir         string
	perObjectMetrics       bool
	healthProbeBindAddress string
	pprofBindAddress       string
}

func defaultOptions() options {
	return options{
		allowedUpstreamHosts:    "api.workos.com,api.workos-test.com",
		maxConcurrentReconciles: 20,
		kubeAPIQPS:              -1,
		kubeAPIBurst:            100,
		shardOptions:            shardOptions{upstreamShare: 1},
		metricsBindAddress:      ":8443",
		metricsSecure:           true,
		perObjectMetrics:        true,
		healthProbeBindAddress:  ":8081",
		pprofBindAddress:        "0",
	}
}

func (o *options) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.defaultEnvironment, "default-environment", o.defaultEnvironment,
		"The PipesEnvironment, as namespace/name, of PipesTokens that name none.")
	flags.StringVar(&o.allowedUpstreamHosts, "allowed-upstream-hosts", o.allowedUpstreamHosts,
		"Hosts, separated by commas, that API keys may be sent to: "+
			"host, or host:port for a port other than the scheme's own.")
	flags.BoolVar(&o.allowInsecure, "allow-insecure-upstream", o.allowInsecure,
		"Allow base URLs with http. For development only: API keys and tokens then cross the network in the clear.")

	flags.StringVar(&o.watchNamespaces, "watch-namespaces", o.watchNamespaces,
		"Namespaces, separated by commas, to watch. Empty: all. "+
			"The namespaces of the PipesEnvironments have to be among them.")
	flags.BoolVar(&o.ignoreNamespaceLabels, "ignore-namespace-labels", o.ignoreNamespaceLabels,
		"Do not read the labels of namespaces, for an operator without the right to: "+
			"grants that select namespaces by label then match none.")

	flags.StringVar(&o.allowedSecretMetadata, "allowed-secret-metadata", o.allowedSecretMetadata,
		"Domains, separated by commas, whose labels and annotations PipesTokens may put on their Secrets "+
			"although other controllers act on Secrets with them, such as jenkins.io. "+
			"A domain includes its subdomains. Empty: none.")

	flags.StringVar(&o.auditLog, "audit-log", o.auditLog,
		"Where to write one line of JSON for each token that is handed out, cleared or refused: "+
			"stdout, or a file to append to. Empty: nowhere.")

	o.shardOptions.bind(flags)

	flags.IntVar(&o.maxConcurrentReconciles, "max-concurrent-reconciles", o.maxConcurrentReconciles,
		"How many PipesTokens to work on at once. One namespace gets half of them at most.")
	flags.Float64Var(&o.kubeAPIQPS, "kube-api-qps", o.kubeAPIQPS,
		"Requests per second to the Kubernetes API. 0 or negative: no limit here; "+
			"API Priority and Fairness protects the API server.")
	flags.IntVar(&o.kubeAPIBurst, "kube-api-burst", o.kubeAPIBurst,
		"Requests to the Kubernetes API that may come at once, with --kube-api-qps.")

	flags.BoolVar(&o.leaderElect, "leader-elect", o.leaderElect,
		"Take part in a leader election, so that of several replicas one works.")
	flags.StringVar(&o.leaderElectID, "leader-election-id", o.leaderElectID,
		"The name of the Lease of the leader election. Empty: "+defaultElectionID+
			", and with --watch-label-selector one that follows from it.")
	flags.StringVar(&o.leaderElectNamespace, "leader-election-namespace", o.leaderElectNamespace,
		"The namespace of the Lease of the leader election. Empty: the operator's own, in a cluster.")
	o.bindEndpoints(flags)
}

// bindEndpoints binds the flags of the servers of the operator.
func (o *options) bindEndpoints(flags *flag.FlagSet) {
	flags.StringVar(&o.metricsBindAddress, "metrics-bind-address", o.metricsBindAddress,
		"Where to serve metrics. 0: nowhere.")
	flags.BoolVar(&o.metricsSecure, "metrics-secure", o.metricsSecure,
		"Serve metrics over HTTPS, to clients that the Kubernetes API authenticates and authorizes.")
	flags.StringVar(&o.metricsCertDir, "metrics-cert-dir", o.metricsCertDir,
		"The directory with tls.crt and tls.key for metrics. Empty: a self-signed certificate.")
	flags.BoolVar(&o.perObjectMetrics, "metrics-per-object", o.perObjectMetrics,
		"Have one series per PipesToken with the expiry of its token. Turn it off where there are very many.")
	flags.StringVar(&o.healthProbeBindAddress, "health-probe-bind-address", o.healthProbeBindAddress,
		"Where to serve /healthz and /readyz. 0: nowhere.")
	flags.StringVar(&o.pprofBindAddress, "pprof-bind-address", o.pprofBindAddress,
		"Where to serve profiles, to everybody who can reach the address: "+
			"use 127.0.0.1:6060 and kubectl port-forward. 0: nowhere.")
}

// validate finds mistakes that would otherwise show much later. Its error says how to fix them.
func (o *options) validate(arguments []string) error {
	var errs []error
	if len(arguments) > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: all options are flags", arguments[0]))
	}
	errs = append(errs, o.validateNamespaces()...)
	for _, domain := range o.secretMetadata() {
		if err := validateMetadataDomain(domain); err != nil {
			errs = append(errs, fmt.Errorf("--allowed-secret-metadata: %w", err))
		}
	}
	errs = append(errs, o.shardOptions.validate()...)
	if o.controllerRing != "" && (o.leaderElect || o.leaderElectID != "") {
		errs = append(errs, errors.New("--leader-elect, --leader-election-id: "+
			"each shard of a ControllerRing has a Lease of its own: leave them out with --controller-ring"))
	}
	errs = append(errs, o.validateHosts()...)
	if o.maxConcurrentReconciles < 1 {
		errs = append(errs,
			fmt.Errorf("--max-concurrent-reconciles: %d is too few, it takes at least 1", o.maxConcurrentReconciles))
	}
	return errors.Join(errs...)
}

func (o *options) validateNamespaces() (errs []error) {
	environment, err := o.environment()
	if err != nil {
		errs = append(errs, err)
	}
	watched := o.namespaces()
	if environment.Name != "" && watched.Len() > 0 && !watched.Has(environment.Namespace) {
		errs = append(errs,
			fmt.Errorf("--default-environment: its namespace %q is not among --watch-namespaces", environment.Namespace))
	}
	for namespace := range watched {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("--watch-namespaces: %q is not the name of a namespace: %s", namespace, problems[0]))
		}
	}
	return errs
}

func (o *options) validateHosts() (errs []error) {
	for _, host := range o.hosts() {
		if strings.ContainsAny(host, "/@ ?#") {
			errs = append(errs,
				fmt.Errorf("--allowed-upstream-hosts: %q is not a host: write api.workos.com, or host:port", host))
		}
	}
	if len(o.hosts()) == 0 {
		errs = append(errs, errors.New("--allowed-upstream-hosts: name at least one host"))
	}
	return errs
}

// electionID returns the name of the Lease of the leader election.
func (o *options) electionID() string { return cmp.Or(o.leaderElectID, o.shardOptions.electionID()) }

// environment returns the default environment; the zero name if none is set.
func (o *options) environment() (types.NamespacedName, error) {
	if o.defaultEnvironment == "" {
		return types.NamespacedName{}, nil
	}
	namespace, name, ok := strings.Cut(o.defaultEnvironment, "/")
	if !ok || len(validation.IsDNS1123Label(namespace)) > 0 || len(validation.IsDNS1123Subdomain(name)) > 0 {
		return types.NamespacedName{},
			fmt.Errorf("--default-environment: %q is not of the form namespace/name", o.defaultEnvironment)
	}
	return types.NamespacedName{Namespace: namespace, Name: name}, nil
}

func (o *options) namespaces() sets.Set[string] { return sets.New(list(o.watchNamespaces)...) }

func (o *options) hosts() []string { return list(o.allowedUpstreamHosts) }

func (o *options) secretMetadata() []string { return list(o.allowedSecretMetadata) }

// validateMetadataDomain rejects values that would allow nothing.
func validateMetadataDomain(domain string) error {
	switch {
	case len(validation.IsDNS1123Subdomain(domain)) > 0:
		return fmt.Errorf("%q is not a domain: "+
			"write jenkins.io for jenkins.io/credentials-type and for keys of its subdomains", domain)
	case tokensecret.ReservedDomain(domain):
		return fmt.Errorf("keys of %s cannot be allowed: Kubernetes and the operator itself use them", domain)
	default:
		return nil
	}
}

// list returns the values of a comma-separated list.
func list(text string) []string {
	var values []string
	for value := range strings.SplitSeq(text, ",") {
		if value = strings.TrimSpace(value); value != "" {
			values = append(values, value)
		}
	}
	return values
}
