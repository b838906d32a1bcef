package main

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

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
		"a URL for a host":                    {[]string{"--allowed-upstream-hosts=https://api.workos.com"}, "is not a host: write api.workos.com"},
		"no host at all":                      {[]string{"--allowed-upstream-hosts="}, "name at least one host"},
		"an environment out of sight":         {[]string{"--watch-namespaces=agents", "--default-environment=pipes-system/default"}, `"pipes-system" is not among --watch-namespaces`},
		"no worker":                           {[]string{"--max-concurrent-reconciles=0"}, "it takes at least 1"},
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

func TestFlagsReachTheirOptions(t *testing.T) {
	o, err := parse(t, "--default-environment=pipes-system/default", "--watch-namespaces= pipes-system, b ,", "--allowed-upstream-hosts=api.workos.com, localhost:8089")
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
	if caches := cacheNamespaces(o); len(caches) != 2 {
		t.Errorf("caches of %v", caches)
	}
}

func TestDefaultsAreSafe(t *testing.T) {
	o, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if o.allowInsecure || !o.metricsSecure {
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
