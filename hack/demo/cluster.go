package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/hack/process"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	// namespace is the namespace of the samples.
	namespace = "agents"
	// operatorNamespace is the namespace of config/default.
	operatorNamespace = "pipes-system"
	// patience is how long the operator may take to start, and to end.
	patience = 15 * time.Second
)

// demo is a control plane, a simulator and an operator, with all their files in one directory.
type demo struct {
	assets    string // the directory with etcd, kube-apiserver and kubectl
	directory string
	since     time.Time // when make demo began

	plane   *envtest.Environment
	cluster client.Client // with all rights

	simulator *workossim.Simulator
	server    *http.Server
	upstream  string // address of the simulator

	operator        *process.Process
	metrics, probes string // addresses of the operator
}

// start starts all parts in order: each part needs the parts before it.
func (d *demo) start(ctx context.Context) error {
	for _, part := range []func(context.Context) error{
		d.startSimulator, d.startControlPlane, d.install, d.startOperator,
	} {
		if err := part(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stop stops all parts that are running, and removes the directory.
func (d *demo) stop() error {
	var err error
	if d.operator != nil && d.operator.Dead() == nil {
		err = d.operator.Stop(patience)
	}
	if d.plane != nil {
		err = errors.Join(err, d.plane.Stop())
	}
	if d.server != nil {
		err = errors.Join(err, d.server.Close())
	}
	return errors.Join(err, os.RemoveAll(d.directory))
}

//go:embed environment.yaml
var environment string

// seed is what the simulated WorkOS starts with. Tokens usually live for hours. Alice's GitHub
// tokens live for 40 seconds, so that one can watch them rotate, and WorkOS returns the next one
// when 25 seconds are left. She and Bob have not connected Slack yet.
var seed = workossim.Options{APIKeys: []string{"sk_test_demo"}, Connections: []workossim.Connection{
	{ID: githubAlice.id, Lifetime: 40 * time.Second, RefreshLead: 25 * time.Second, Scopes: []string{"repo"}},
	{ID: slackAlice.id, State: workossim.NotInstalled},
	{ID: slackBob.id, State: workossim.NotInstalled},
	{ID: notionBob.id},
	{ID: linearCarol.id},
}}

// startSimulator serves the simulator on a free port, and writes the manifests that the user
// applies.
func (d *demo) startSimulator(ctx context.Context) error {
	fmt.Println("Starting the simulated WorkOS")
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("looking for a free port: %w", err)
	}
	d.upstream, d.simulator = listener.Addr().String(), workossim.New(seed)
	d.server = &http.Server{Handler: d.simulator.WithControl(), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = d.server.Serve(listener) }() // until Close
	manifests := map[string]string{"environment": strings.ReplaceAll(environment, "127.0.0.1:8089", d.upstream)}
	for _, s := range []sample{githubAlice, slackAlice, slackBob, notionBob, linearCarol} {
		manifests[s.name] = fmt.Sprintf("apiVersion: pipes.workos.com/v1alpha1\nkind: PipesToken\n"+
			"metadata: {name: %s, namespace: %s}\nspec: {slug: %s, userID: %s}\n", s.name, namespace, s.id.Slug, s.id.UserID)
	}
	for name, text := range manifests {
		if err := os.WriteFile(d.path(name+".yaml"), []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// startControlPlane starts etcd and kube-apiserver on loopback, with the files of both in the
// directory.
func (d *demo) startControlPlane(context.Context) error {
	fmt.Println("Starting etcd and kube-apiserver")
	etcd, server := &envtest.Etcd{DataDir: d.path("etcd")}, &envtest.APIServer{CertDir: d.path("apiserver")}
	for _, directory := range []string{etcd.DataDir, server.CertDir} {
		if err := os.Mkdir(directory, 0o700); err != nil {
			return err
		}
	}
	etcd.Configure().Set("unsafe-no-fsync", "true") // nothing here has to survive a crash
	d.plane = &envtest.Environment{
		BinaryAssetsDirectory: d.assets, ControlPlaneStartTimeout: 2 * time.Minute, ControlPlaneStopTimeout: time.Minute,
	}
	d.plane.ControlPlane.Etcd, d.plane.ControlPlane.APIServer = etcd, server
	config, err := d.plane.Start()
	if err != nil {
		return fmt.Errorf("starting a control plane: %w", err)
	}
	config.QPS = -1 // no client limit: the API server has its own
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1alpha1.AddToScheme(scheme))
	if d.cluster, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}
	return os.WriteFile(d.path("kubeconfig"), d.plane.KubeConfig, 0o600)
}

// install installs config/default as a user does, and writes a kubeconfig with the rights of the
// operator's ServiceAccount.
func (d *demo) install(ctx context.Context) error {
	fmt.Println("Installing config/default")
	config, err := filepath.Abs(filepath.Join("config", "default"))
	if err != nil {
		return err
	}
	for _, command := range []string{
		"kubectl config set-context --current --namespace=" + namespace,
		"kubectl apply -k '" + config + "'",
		"kubectl wait --for=condition=Established --timeout=60s crd/pipestokens.pipes.workos.com " +
			"crd/pipesenvironments.pipes.workos.com",
		"cp kubeconfig operator.kubeconfig",
		"kubectl config --kubeconfig=operator.kubeconfig set-credentials operator " +
			`--token="$(kubectl create token pipes-operator-manager -n ` + operatorNamespace + ` --duration=48h)"`,
		"kubectl config --kubeconfig=operator.kubeconfig set-context --current --user=operator",
	} {
		if _, err := d.shell(ctx, command); err != nil {
			return fmt.Errorf("%s: %w", command, err)
		}
	}
	return nil
}

// startOperator starts the operator, and waits until its caches are filled.
func (d *demo) startOperator(ctx context.Context) error {
	fmt.Println("Starting the operator")
	program, err := os.Executable()
	if err != nil {
		return err
	}
	if d.metrics == "" { // a restart keeps the addresses
		addresses, err := process.FreeAddresses(ctx, 2)
		if err != nil {
			return err
		}
		d.metrics, d.probes = addresses[0], addresses[1]
	}
	// No context ends the operator: stop ends it, before the API server.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(filepath.Dir(program), "pipes-operator"),
		"--kubeconfig="+d.path("operator.kubeconfig"), "--default-environment="+operatorNamespace+"/default",
		"--allow-insecure-upstream", "--allowed-upstream-hosts="+d.upstream,
		"--metrics-bind-address="+d.metrics, "--metrics-secure=false", "--health-probe-bind-address="+d.probes,
		"--zap-encoder=console", "--zap-log-level=debug", "--zap-stacktrace-level=panic")
	if d.operator, err = process.Start("pipes-operator", d.path("operator.log"), cmd); err != nil {
		return err
	}
	return d.operator.WaitUntil(ctx, time.Minute, func(ctx context.Context) error {
		_, err := request(ctx, http.MethodGet, "http://"+d.probes+"/readyz", "")
		return err
	})
}

func (d *demo) path(name string) string { return filepath.Join(d.directory, name) }
