//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"text/template"
	"time"
)

//go:embed templates
var templates embed.FS

var parsed = template.Must(template.New("").Option("missingkey=error").ParseFS(templates, "templates/*"))

// configure writes the configuration files of containerd, the kubelet and the CNI plugins.
func (n *node) configure(context.Context) error {
	etc := func(name string) string { return n.place.path("etc", name) }
	values := map[string]string{
		"Node": n.node, "Etc": etc(""), "SandboxImage": n.sandboxImage, "ClientCA": n.place.certificate(),
		"CgroupRoot": "/" + cgroupName, "Bridge": bridgeName, "PodNetwork": podNetwork,
	}
	return errors.Join(
		render("containerd.toml", etc("containerd.toml"), values),
		render("kubelet.yaml", etc("kubelet.yaml"), values),
		render("cni.conflist", etc("cni/10-bridge.conflist"), values),
		render("resolv.conf", etc("resolv.conf"), values),
	)
}

// render writes a file from a template.
func render(name, file string, values map[string]string) error {
	var text bytes.Buffer
	if err := parsed.ExecuteTemplate(&text, name, values); err != nil {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o600)
}

const (
	mastersGroup = "system:masters"
	allUsers     = "system:authenticated" // every user is in this group anyway
)

// makeCredentials creates one certificate, which all parts of the cluster trust, and a kubeconfig
// with a token for each user. A test cluster needs no separate authority: kube-apiserver serves
// with the certificate, shows it to the kubelet to read logs and to exec into pods, and signs the
// tokens of service accounts with its key.
func (n *node) makeCredentials(context.Context) error {
	if err := n.makeCertificate(); err != nil {
		return err
	}
	inside, outside := "https://"+apiServerAddress, "https://"+net.JoinHostPort(loopbackAddress, strconv.Itoa(n.port))
	tokens := ""
	for _, user := range []struct{ name, group, server, file string }{
		{"admin", mastersGroup, outside, n.place.kubeconfig() + ".new"}, // see awaitReady
		{"node-admin", mastersGroup, inside, n.place.path("etc", "admin")},
		{"system:kube-controller-manager", allUsers, inside, n.place.path("etc", "kube-controller-manager")},
		{"system:kube-scheduler", allUsers, inside, n.place.path("etc", "kube-scheduler")},
		{"system:node:" + nodeName, "system:nodes", inside, n.place.path("etc", "kubelet")},
	} {
		token := rand.Text()
		tokens += fmt.Sprintf("%s,%s,%s,%s\n", token, user.name, user.name, user.group)
		err := render("kubeconfig", user.file, map[string]string{
			"Server": user.server, "User": user.name, "Token": token, "CA": n.place.certificate(),
		})
		if err != nil {
			return err
		}
	}
	return os.WriteFile(n.place.path("etc", "tokens.csv"), []byte(tokens), 0o600)
}

// makeCertificate creates the certificate and its key. It is valid longer than any test cluster
// exists.
func (n *node) makeCertificate() error {
	now := time.Now()
	wanted := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "kube-apiserver", Organization: []string{mastersGroup}},
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
		DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		IPAddresses: []net.IP{net.ParseIP(loopbackAddress), net.ParseIP(nodeAddress), net.ParseIP(serviceAddress)},
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, wanted, private.Public(), private)
	if err != nil {
		return err
	}
	key, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return err
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(n.place.certificate(), certificate, 0o600); err != nil {
		return err
	}
	return os.WriteFile(n.place.key(), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: key}), 0o600)
}
