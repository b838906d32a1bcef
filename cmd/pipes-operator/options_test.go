package main

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
)

func parse(t *testing.T, arguments ...string) (options, error) {
	t.Helper()
	o := defaultOptions()
	flags := flag.NewFlagSet("pipes-operator", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o.bind(flags)
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	return o, o.validate(flags.Args())
}

func TestMistakesInFlagsAreNamed(t *testing.T) {
	for name, test := range map[string]struct {
		arguments []string
		says      string
	}{
		"an argument that is no flag":         {[]string{"start"}, `unexpected argument "start"`},
		"an environment without namespace":    {[]string{"--default-environment=default"}, `"default" is not of the form namespace/name`},
		"an environment with a bad name":      {[]string{"--default-environment=pipes-system/Default"}, "is not of the form namespace/name"},
		"an environment with too many parts":  {[]string{"--default-environment=a/b/c"}, "is not of the form namespace/name"},
		"a namespace that cannot be one":      {[]string{"--watch-namespaces=agents,Pipes"}, `"Pipes" is not the name of a namespace`},
		"a selector that cannot be read":      {[]string{"--watch-label-selector=a in b"}, "--watch-label-selector"},
		"a key for a domain":                  {[]string{"--allowed-secret-metadata=jenkins.io/credentials-type"}, "is not a domain: write jenkins.io for"},
		"a pattern for a domain":              {[]string{"--allowed-secret-metadata=*.fluxcd.io"}, `"*.fluxcd.io" is not a domain`},
		"a domain of Kubernetes":              {[]string{"--allowed-secret-metadata=jenkins.io,app.kubernetes.io"}, "keys of app.kubernetes.io cannot be allowed"},
		"a domain of the operator":            {[]string{"--allowed-secret-metadata=pipes.workos.com"}, "keys of pipes.workos.com cannot be allowed"},
		"a URL for a host":                    {[]string{"--allowed-upstream-hosts=https://api.workos.com"}, "is not a host: write api.workos.com"},
		"no host at all":                      {[]string{"--allowed-upstream-hosts="}, "name at least one host"},
		"an environment out of sight":         {[]string{"--watch-namespaces=agents", "--default-environment=pipes-system/default"}, `"pipes-system" is not among --watch-namespaces`},
		"no worker":                           {[]string{"--max-concurrent-reconciles=0"}, "it takes at least 1"},
		"a share that is no part":             {[]string{"--upstream-share=3"}, "3 is not a part: write 0.33 for one of three"},
		"a share that is no number":           {[]string{"--upstream-share=NaN"}, "NaN is not a part"},
		"no share at all":                     {[]string{"--upstream-share=0"}, "is not a part"},
		"a ring that cannot be one":           {[]string{"--controller-ring=My Ring"}, `"My Ring" is not the name of a ControllerRing`},
		"a ring with too long a name":         {[]string{"--controller-ring=" + strings.Repeat("r", 64)}, "at most 63 characters"},
		"a shard that cannot be one":          {[]string{"--controller-ring=r", "--shard-name=a.b"}, `--shard-name: "a.b" cannot be`},
		"a ring and a selector":               {[]string{"--controller-ring=r", "--shard-name=a", "--watch-label-selector=a=b"}, "leave it out with --controller-ring"},
		"a ring and a leader":                 {[]string{"--controller-ring=r", "--shard-name=a", "--leader-elect"}, "each shard of a ControllerRing has a Lease of its own"},
		"several mistakes, all of them named": {[]string{"--max-concurrent-reconciles=0", "--default-environment=x"}, "is not of the form"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(t, test.arguments...)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want it to say %q", err, test.says)
			}
		})
	}
}

// If two shards had the same Lease, only one of them would work, and the PipesTokens of the other
// would wait.
func TestEachSelectorHasALeaseOfItsOwn(t *testing.T) {
	of := func(arguments ...string) string {
		t.Helper()
		o, err := parse(t, arguments...)
		if err != nil {
			t.Fatal(err)
		}
		return o.electionID()
	}
	all, a, b := of(), of("--watch-label-selector=shard=a"), of("--watch-label-selector=shard=b")
	if all != "pipes-operator.pipes.workos.com" || a == all || b == all || a == b {
		t.Errorf("Leases %q, %q and %q", all, a, b)
	}
	if one, other := of("--watch-label-selector=x=1,y=2"), of("--watch-label-selector=y=2, x=1"); one != other {
		t.Errorf("written in another order, the selector has %q and not %q", other, one)
	}
	if named := of("--watch-label-selector=shard=a", "--leader-election-id=mine"); named != "mine" {
		t.Errorf("the Lease that was named is %q", named)
	}
	if problems := validation.IsDNS1123Subdomain(a); len(problems) > 0 {
		t.Errorf("%q: %v", a, problems)
	}
}

func TestAShardOfARingIsNamedAfterItsPod(t *testing.T) {
	o, err := parse(t, "--controller-ring=pipes-operator")
	host, errHost := os.Hostname()
	if err != nil || errHost != nil {
		t.Fatal(err, errHost)
	}
	if name, err := o.nameInRing(); err != nil || name != host {
		t.Errorf("the shard is %q, %v; want %q", name, err, host)
	}
}

func TestFlagsReachTheirOptions(t *testing.T) {
	o, err := parse(t, "--default-environment=pipes-system/default", "--watch-namespaces= pipes-system, b ,", "--allowed-upstream-hosts=api.workos.com, localhost:8089",
		"--allowed-secret-metadata=jenkins.io, istio,")
	if err != nil {
		t.Fatal(err)
	}
	if environment, _ := o.environment(); environment.String() != "pipes-system/default" {
		t.Errorf("default environment %s", environment)
	}
	if namespaces := o.namespaces(); !namespaces.HasAll("pipes-system", "b") || namespaces.Len() != 2 {
		t.Errorf("namespaces %v", namespaces)
	}
	if hosts := o.hosts(); !slices.Equal(hosts, []string{"api.workos.com", "localhost:8089"}) {
		t.Errorf("hosts %v", hosts)
	}
	if domains := o.secretMetadata(); !slices.Equal(domains, []string{"jenkins.io", "istio"}) {
		t.Errorf("domains %v", domains)
	}
	if caches := cacheNamespaces(o); len(caches) != 2 {
		t.Errorf("caches of %v", caches)
	}
}

func TestDefaultsAreSafe(t *testing.T) {
	o, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if o.allowInsecure || !o.metricsSecure || len(o.secretMetadata()) > 0 {
		t.Error("insecure by default")
	}
	if cacheNamespaces(o) != nil {
		t.Error("does not watch all namespaces by default")
	}
	if metricsOptions(o).FilterProvider == nil {
		t.Error("metrics are open to everybody")
	}
}

func TestReadinessWaitsForTheCaches(t *testing.T) {
	caches := &informertest.FakeInformers{Synced: ptr.To(false)}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil)
	if cachesSynced(caches)(request) == nil {
		t.Error("ready before the caches are filled")
	}
	caches.Synced = ptr.To(true)
	if err := cachesSynced(caches)(request); err != nil {
		t.Errorf("not ready once they are: %v", err)
	}
}
