//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const etcdAddress = "127.0.0.1:2379"

func atOnce(context.Context) error { return nil }

func (n *node) startEtcd(ctx context.Context) error {
	// No data has to survive a crash here, so etcd does not sync to the disk.
	listens := func(ctx context.Context) error {
		connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", etcdAddress)
		if err != nil {
			return err
		}
		return connection.Close()
	}
	return n.run(ctx, listens, filepath.Join(n.controlPlane, "etcd"),
		"--data-dir=/var/lib/etcd", "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=http://"+etcdAddress, "--advertise-client-urls=http://"+etcdAddress,
		"--listen-peer-urls=http://127.0.0.1:2380", "--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=default=http://127.0.0.1:2380")
}

func (n *node) startAPIServer(ctx context.Context) error {
	certificate, key := n.place.certificate(), n.place.key()
	ready := func(ctx context.Context) error { return n.kubectl(ctx, "get", "--raw=/readyz") }
	return n.run(ctx, ready, filepath.Join(n.controlPlane, "kube-apiserver"),
		"--etcd-servers=http://"+etcdAddress, "--bind-address=0.0.0.0", "--secure-port="+apiServerPort,
		"--advertise-address="+nodeAddress, "--service-cluster-ip-range="+serviceNetwork,
		"--tls-cert-file="+certificate, "--tls-private-key-file="+key,
		"--token-auth-file="+n.place.path("etc", "tokens.csv"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file="+key, "--service-account-signing-key-file="+key,
		"--kubelet-client-certificate="+certificate, "--kubelet-client-key="+key,
		"--kubelet-preferred-address-types=InternalIP")
}

// startContainerd also imports the sandbox image, which no registry has.
func (n *node) startContainerd(ctx context.Context) error {
	imported := func(ctx context.Context) error { return n.place.ctr(ctx, "images", "import", n.sandboxArchive) }
	return n.run(ctx, imported, n.place.program("containerd"), "--config="+n.place.path("etc", "containerd.toml"))
}

// startControllers starts the controller manager and the scheduler. It does not wait for them:
// the node becomes ready only with their help.
func (n *node) startControllers(ctx context.Context) error {
	kubeconfig := func(name string) string { return "--kubeconfig=" + n.place.path("etc", name) }
	return errors.Join(
		n.run(ctx, atOnce, n.place.program("kube-controller-manager"), kubeconfig("kube-controller-manager"),
			"--bind-address="+loopbackAddress, "--leader-elect=false", "--use-service-account-credentials",
			"--root-ca-file="+n.place.certificate(), "--service-account-private-key-file="+n.place.key()),
		n.run(ctx, atOnce, n.place.program("kube-scheduler"), kubeconfig("kube-scheduler"),
			"--bind-address="+loopbackAddress, "--leader-elect=false"),
	)
}

func (n *node) startKubelet(ctx context.Context) error {
	return n.run(ctx, atOnce, n.place.program("kubelet"),
		"--config="+n.place.path("etc", "kubelet.yaml"), "--kubeconfig="+n.place.path("etc", "kubelet"),
		"--hostname-override="+nodeName, "--node-ip="+nodeAddress)
}

// awaitReady waits until pods can be scheduled: the node is ready and the default ServiceAccount
// exists. Then the kubeconfig for users appears.
func (n *node) awaitReady(ctx context.Context) error {
	err := await(ctx, func(ctx context.Context) error {
		if err := n.kubectl(ctx, "get", "serviceaccount", "default"); err != nil {
			return err
		}
		return n.kubectl(ctx, "wait", "--for=condition=Ready", "node/"+nodeName, "--timeout=10s")
	})
	if err != nil {
		return err
	}
	return os.Rename(n.place.kubeconfig()+".new", n.place.kubeconfig())
}

// kubectl runs kubectl with all rights.
func (n *node) kubectl(ctx context.Context, args ...string) error {
	return output(ctx, filepath.Join(n.controlPlane, "kubectl"), append([]string{
		"--kubeconfig=" + n.place.path("etc", "admin"), "--cache-dir=" + n.place.path("run", "kubectl"),
	}, args...)...)
}

// ctr runs ctr, the command-line client of containerd.
func (p place) ctr(ctx context.Context, args ...string) error {
	return output(ctx, p.program("ctr"),
		append([]string{"--address=" + p.path("run", "containerd", "containerd.sock"), "--namespace=k8s.io"}, args...)...)
}

// output runs a program. If the program fails, the error has the last line of its output, which
// follows the warnings.
func output(ctx context.Context, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("%s: %w: %s", filepath.Base(program), err, lines[len(lines)-1])
	}
	return nil
}
