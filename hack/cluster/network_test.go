//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// portOf returns the port of a listener from listenOnLoopback.
func portOf(t *testing.T, file *os.File) int {
	t.Helper()
	listener, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	return listener.Addr().(*net.TCPAddr).Port
}

func TestAConnectionIsPassedOnUntilBothSidesHaveEnded(t *testing.T) {
	var config net.ListenConfig
	server, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	front, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // reads all the data before it answers
		connection, err := server.Accept()
		if err != nil {
			return
		}
		all, _ := io.ReadAll(connection)
		_, _ = connection.Write(append(all, '!'))
		_ = connection.Close()
	}()
	passed := make(chan struct{})
	go func() {
		defer close(passed)
		if connection, err := front.Accept(); err == nil {
			passOn(context.Background(), connection, server.Addr().String())
		}
	}()
	client, err := (&net.Dialer{Timeout: time.Second}).DialContext(t.Context(), "tcp", front.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = client.Write([]byte("question"))
	_ = client.(*net.TCPConn).CloseWrite()
	if answer, err := io.ReadAll(client); err != nil || string(answer) != "question!" {
		t.Errorf("got %q, %v", answer, err)
	}
	<-passed
}

func TestEverybodyTrustsTheAuthority(t *testing.T) {
	authority, err := newPKI(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	certificate, key, err := authority.issue(
		"kube-apiserver", []string{mastersGroup}, serviceAddress, "kubernetes.default")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.pem)
	for _, host := range []string{serviceAddress, "kubernetes.default"} {
		if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: "10.0.0.9"}); err == nil {
		t.Error("it is good for any address")
	}
	if pair.Leaf.Subject.CommonName != "kube-apiserver" || pair.Leaf.Subject.Organization[0] != mastersGroup {
		t.Errorf("got %v", pair.Leaf.Subject)
	}

	p := place(t.TempDir())
	n := &node{options: options{place: p}, pki: authority}
	if err := n.writeKubeconfig(p.kubeconfig(), "https://127.0.0.1:6443", "admin", mastersGroup); err != nil {
		t.Fatal(err)
	}
	if config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig()); err != nil ||
		config.Host != "https://127.0.0.1:6443" {
		t.Errorf("got %v, %v", config, err)
	}
}
