//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"strconv"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// certificateLife is longer than any test cluster exists.
const certificateLife = 365 * 24 * time.Hour

// pki is the certificate authority that all parts of the cluster trust.
type pki struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

// newPKI creates a certificate authority.
func newPKI(now time.Time) (*pki, error) {
	a := &pki{certificate: unsigned("pipes-operator-cluster", now)}
	a.certificate.IsCA, a.certificate.BasicConstraintsValid = true, true
	a.certificate.KeyUsage |= x509.KeyUsageCertSign
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, a.certificate, a.certificate, a.key.Public(), a.key)
	if err != nil {
		return nil, err
	}
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return a, nil
}

// unsigned returns a certificate template that still has to be signed.
func unsigned(commonName string, now time.Time) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: commonName},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
}

// issue creates a certificate for a Kubernetes user, whose groups become the organizations, or
// for a server with the given addresses.
func (a *pki) issue(user string, groups []string, addresses ...string) (certificate, key []byte, err error) {
	wanted := unsigned(user, time.Now())
	wanted.Subject.Organization = groups
	for _, address := range addresses {
		if ip := net.ParseIP(address); ip != nil {
			wanted.IPAddresses = append(wanted.IPAddresses, ip)
		} else {
			wanted.DNSNames = append(wanted.DNSNames, address)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	encoded, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: encoded}), nil
}

const mastersGroup = "system:masters"

// makeCertificates creates the authority, the certificates and keys of kube-apiserver, and a
// kubeconfig for each user.
func (n *node) makeCertificates(context.Context) error {
	var err error
	if n.pki, err = newPKI(time.Now()); err != nil {
		return err
	}
	if err := os.WriteFile(n.place.path("pki", "ca.crt"), n.pki.pem, 0o600); err != nil {
		return err
	}
	for name, addresses := range map[string][]string{
		"apiserver": {
			loopbackAddress, "localhost", nodeAddress, serviceAddress,
			"kubernetes", "kubernetes.default", "kubernetes.default.svc",
		},
		"service-accounts": nil, // only its key is used
	} {
		if err := n.writePair(name, name, nil, addresses...); err != nil {
			return err
		}
	}
	// kube-apiserver uses this certificate to read logs from the kubelet and to exec into pods.
	if err := n.writePair("apiserver-kubelet-client", "kube-apiserver", []string{mastersGroup}); err != nil {
		return err
	}
	inside, outside := "https://"+apiServerAddress, "https://"+net.JoinHostPort(loopbackAddress, strconv.Itoa(n.port))
	return errors.Join(
		n.writeKubeconfig(n.place.kubeconfig(), outside, "admin", mastersGroup),
		n.writeKubeconfig(n.place.path("etc", "admin"), inside, "admin", mastersGroup),
		n.writeKubeconfig(n.place.path("etc", "kube-controller-manager"), inside, "system:kube-controller-manager"),
		n.writeKubeconfig(n.place.path("etc", "kube-scheduler"), inside, "system:kube-scheduler"),
		n.writeKubeconfig(n.place.path("etc", "kubelet"), inside, "system:node:"+nodeName, "system:nodes"),
	)
}

// writePair writes a new certificate and its key.
func (n *node) writePair(name, user string, groups []string, addresses ...string) error {
	certificate, key, err := n.pki.issue(user, groups, addresses...)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(n.place.path("pki", name+".crt"), certificate, 0o600),
		os.WriteFile(n.place.path("pki", name+".key"), key, 0o600),
	)
}

// writeKubeconfig writes a kubeconfig for a user. It contains a new certificate.
func (n *node) writeKubeconfig(file, server, user string, groups ...string) error {
	certificate, key, err := n.pki.issue(user, groups)
	if err != nil {
		return err
	}
	const name = "pipes-operator-cluster"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: n.pki.pem}
	config.AuthInfos[user] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: user}
	config.CurrentContext = name
	return clientcmd.WriteToFile(*config, file)
}
