//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

const etcdAddress = "127.0.0.1:2379"

// command returns a command for a program of the node. No context ends the program: it ends with
// the cluster.
func command(path string, args ...string) *exec.Cmd {
	return exec.CommandContext(context.Background(), path, args...)
}

func (n *node) startEtcd(ctx context.Context) error {
	// No data has to survive a crash here, so etcd does not sync to the disk.
	return n.run(ctx, filepath.Join(n.controlPlane, "etcd"),
		func(ctx context.Context) error { return process.Listens(ctx, etcdAddress) },
		"--data-dir=/var/lib/etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://"+etcdAddress, "--advertise-client-urls=http://"+etcdAddress,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380")
}

func (n *node) startAPIServer(ctx context.Context) error {
	pki := func(name string) string { return n.place.path("pki", name) }
	return n.run(ctx, filepath.Join(n.controlPlane, "kube-apiserver"), n.apiServerReady,
		"--etcd-servers=http://"+etcdAddress, "--bind-address=0.0.0.0", "--secure-port="+apiServerPort,
		"--advertise-address="+nodeAddress, "--service-cluster-ip-range="+serviceNetwork,
		"--tls-cert-file="+pki("apiserver.crt"), "--tls-private-key-file="+pki("apiserver.key"),
		"--client-ca-file="+pki("ca.crt"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+pki("service-accounts.key"),
		"--service-account-signing-key-file="+pki("service-accounts.key"),
		"--kubelet-client-certificate="+pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key="+pki("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP")
}

// apiServerReady returns an error until the API server is ready.
func (n *node) apiServerReady(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	return client.RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// client returns the client with which the node itself calls its API server.
func (n *node) client() (*kubernetes.Clientset, error) {
	config, err := clientcmd.BuildConfigFromFlags("", n.place.path("etc", "admin"))
	if err != nil {
		return nil, err
	}
	config.QPS = -1 // no client limit: the API server has its own
	return kubernetes.NewForConfig(config)
}

func (n *node) startContainerd(ctx context.Context) error {
	return n.run(ctx, n.place.program("containerd"), func(ctx context.Context) error {
		return n.place.ctr(ctx, "version")
	}, "--config="+n.place.path("etc", "containerd.toml"))
}

// startControllers starts the controller manager and the scheduler. It does not wait for them:
// awaitReady waits for the node, which becomes ready only with their help.
func (n *node) startControllers(ctx context.Context) error {
	atOnce := func(context.Context) error { return nil }
	kubeconfig := func(name string) string { return "--kubeconfig=" + n.place.path("etc", name) }
	return errors.Join(
		n.run(ctx, n.place.program("kube-controller-manager"), atOnce, kubeconfig("kube-controller-manager"),
			"--bind-address="+loopbackAddress, "--leader-elect=false", "--use-service-account-credentials",
			"--root-ca-file="+n.place.path("pki", "ca.crt"),
			"--service-account-private-key-file="+n.place.path("pki", "service-accounts.key")),
		n.run(ctx, n.place.program("kube-scheduler"), atOnce, kubeconfig("kube-scheduler"),
			"--bind-address="+loopbackAddress, "--leader-elect=false"),
	)
}

func (n *node) startKubelet(ctx context.Context) error {
	return n.run(ctx, n.place.program("kubelet"), func(context.Context) error { return nil },
		"--config="+n.place.path("etc", "kubelet.yaml"), "--kubeconfig="+n.place.path("etc", "kubelet"),
		"--hostname-override="+nodeName, "--node-ip="+nodeAddress)
}

// awaitReady waits until pods can be scheduled: the node is ready and the default ServiceAccount
// exists.
func (n *node) awaitReady(ctx context.Context) error {
	client, err := n.client()
	if err != nil {
		return err
	}
	last := n.running.All()[len(n.running.All())-1]
	return last.WaitUntil(ctx, startLimit, func(ctx context.Context) error {
		if err := n.running.Dead(); err != nil {
			return err
		}
		if _, err := client.CoreV1().ServiceAccounts(metav1.NamespaceDefault).
			Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		found, err := client.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range found.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return errors.New("the node is not ready")
	})
}

// ctr runs ctr, the command-line client of containerd.
func (p place) ctr(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, p.program("ctr"),
		append([]string{"--address=" + p.containerdSocket(), "--namespace=k8s.io"}, args...)...)
	if output, err := cmd.CombinedOutput(); err != nil {
		// The error is in the last line, after warnings.
		lines := strings.Split(strings.TrimSpace(string(output)), "\n")
		return fmt.Errorf("ctr %s: %w: %s", strings.Join(args, " "), err, lines[len(lines)-1])
	}
	return nil
}
