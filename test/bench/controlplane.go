package main

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"

	"k8s.io/client-go/rest"

	"github.com/pipes-operator/pipes-operator/test/harness"
)

// plane is an etcd and a kube-apiserver, with the CRDs and the rights of config/default. It has no
// node and no controller manager.
type plane struct {
	*harness.ControlPlane
	// kubeconfig is the path of the operator's kubeconfig.
	kubeconfig string
	// http has the rights of the cluster administrator.
	http *http.Client
}

// planeSettings describes for the report how this control plane differs from a usual cluster.
const planeSettings = "etcd does not sync its writes to the disk (--unsafe-no-fsync), and may store 8 GiB; " +
	"kube-apiserver takes 4000 reads and 2000 writes at once; everything runs on one machine, and shares its cores"

// startPlane starts etcd and kube-apiserver, and gives the operator its rights.
func startPlane(ctx context.Context, directory string) (_ *plane, err error) {
	started, err := harness.Start(harness.Options{
		Directory: directory,
		Etcd:      map[string]string{"quota-backend-bytes": "8589934592"},
		APIServer: map[string]string{"max-requests-inflight": "4000", "max-mutating-requests-inflight": "2000"},
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, started.Stop())
		}
	}()
	p := &plane{ControlPlane: started, kubeconfig: filepath.Join(directory, "operator.kubeconfig")}
	if p.http, err = rest.HTTPClientFor(p.Admin); err != nil {
		return nil, err
	}
	if err := p.Install(ctx, nil, "rbac"); err != nil {
		return nil, err
	}
	return p, p.WriteOperatorKubeconfig(ctx, p.kubeconfig)
}
