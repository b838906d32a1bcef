//go:build e2e

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// github is a server in the cluster that simulates github.com and api.github.com for a
// connection. See probe serve.
type github struct {
	namespace string
	address   string // its IP address
}

// sent is a request that the server received.
type sent struct {
	At        time.Time `json:"at"`
	Host      string    `json:"host"`
	Path      string    `json:"path"`
	UserAgent string    `json:"userAgent"`
	// The scheme of the Authorization header. Empty: no header.
	Scheme string `json:"scheme"`
	// The serial of the token. 0: not a token of the connection.
	Serial int `json:"serial"`
	Status int `json:"status"`
}

// githubManifest defines the server. A sysctl lets any user of the pod listen on port 443. The
// Pod Security Standard restricted allows that sysctl. Clients get the CA from the ConfigMap ca.
const githubManifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: ca, namespace: %[1]s}
data: {ca.crt: %[2]s}
---
apiVersion: v1
kind: Secret
metadata: {name: github, namespace: %[1]s}
stringData: {tls.crt: %[3]s, tls.key: %[4]s, connection.json: %[5]s}
---
apiVersion: v1
kind: Pod
metadata: {name: github, namespace: %[1]s}
spec:
  automountServiceAccountToken: false
  terminationGracePeriodSeconds: 1
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    fsGroup: 65532
    seccompProfile: {type: RuntimeDefault}
    sysctls:
    - {name: net.ipv4.ip_unprivileged_port_start, value: "0"}
  containers:
  - name: github
    image: ` + toolsImage + `
    imagePullPolicy: IfNotPresent
    command: [/usr/local/bin/probe, serve, /etc/github]
    readinessProbe: {httpGet: {path: /healthz, port: 443, scheme: HTTPS}, periodSeconds: 1}
    volumeMounts:
    - {name: settings, mountPath: /etc/github, readOnly: true}
    - {name: repositories, mountPath: /tmp}
    securityContext: ` + restrictedContainer + `
  volumes:
  - name: settings
    secret: {secretName: github, defaultMode: 0440}
  - name: repositories
    emptyDir: {}
`

// startGitHub starts the server in a namespace. It accepts only tokens of the given connection.
func startGitHub(namespace string, c connection) github {
	GinkgoHelper()
	identity, err := json.Marshal(c)
	Expect(err).NotTo(HaveOccurred())
	ca, certificate, key := certify("github.com", "api.github.com")
	apply(fmt.Sprintf(githubManifest, namespace, strconv.Quote(ca), strconv.Quote(certificate), strconv.Quote(key), strconv.Quote(string(identity))))
	waitFor(namespace, "pod/github", "condition=Ready", 2*time.Minute)
	return github{namespace, kubectl("get", "pod", "github", "--namespace="+namespace, "--output=jsonpath={.status.podIP}")}
}

// requests returns all requests that the server has answered, in order. The other lines of its
// log are messages of git and of Go's HTTP server.
func (g github) requests() []sent {
	GinkgoHelper()
	var requests []sent
	for line := range strings.Lines(kubectl("logs", "github", "--namespace="+g.namespace)) {
		if strings.HasPrefix(line, "{") {
			var s sent
			Expect(json.Unmarshal([]byte(line), &s)).To(Succeed(), line)
			requests = append(requests, s)
		}
	}
	return requests
}

// from returns the requests of a client that have an Authorization header. git sends its first
// request without one.
func (g github) from(userAgent string) []sent {
	GinkgoHelper()
	var requests []sent
	for _, s := range g.requests() {
		if strings.HasPrefix(s.UserAgent, userAgent) && s.Scheme != "" {
			requests = append(requests, s)
		}
	}
	return requests
}

// value returns the connection's token with this serial.
func (c connection) value(serial int) string {
	return workossim.TokenValue(workossim.Connection{ID: c.ID, TokenPrefix: c.TokenPrefix}, serial)
}

// certify creates a CA and a server certificate for the names. All results are PEM.
func certify(names ...string) (ca, certificate, key string) {
	GinkgoHelper()
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "end-to-end tests"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	rootBytes, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	Expect(err).NotTo(HaveOccurred())
	leafBytes, err := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	Expect(err).NotTo(HaveOccurred())
	keyBytes, err := x509.MarshalPKCS8PrivateKey(leafKey)
	Expect(err).NotTo(HaveOccurred())
	return inPEM("CERTIFICATE", rootBytes), inPEM("CERTIFICATE", leafBytes), inPEM("PRIVATE KEY", keyBytes)
}

func inPEM(kind string, content []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}))
}
