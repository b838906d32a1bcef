//go:build reliability

package tenancy_test

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// ownEnvironment returns a PipesEnvironment of the tenant with this base URL. With withOwnKey,
// its API key exists and the operator may read it, so only the check of the base URL keeps the
// key from that host. TRAP and APISERVER stand for the addresses of the attacker and of the API
// server.
func (w *world) ownEnvironment(baseURL string) *unstructured.Unstructured {
	GinkgoHelper()
	baseURL = strings.NewReplacer("TRAP", network.trap.Listener.Addr().String(), "APISERVER", plane.Address()).Replace(baseURL)
	environment := newEnvironment(w.namespace, "own", `{apiKeySecretRef: {name: own-api-key}}`)
	setSpec(environment, "baseURL", baseURL)
	return environment
}

// withOwnKey creates the API key of ownEnvironment, and lets the operator read it, as
// docs/explanation/security.md describes.
func (w *world) withOwnKey() {
	GinkgoHelper()
	w.letKeysBeRead()
	Expect(w.admin.Create(w.ctx, newSecret(w.namespace, "own-api-key", map[string]string{"api-key": apiKey}))).To(Succeed())
}

// letKeysBeRead lets the operator read every Secret of the tenant's namespace.
// docs/explanation/security.md warns against this binding.
func (w *world) letKeysBeRead() {
	GinkgoHelper()
	Expect(plane.AllowAPIKeys(w.ctx, w.namespace)).To(Succeed())
}

const ownToken = `{environmentRef: {name: own, namespace: null}}`

var _ = DescribeTable("A base URL that the API server refuses", func(baseURL, says string) {
	environment := common.ownEnvironment(baseURL)
	common.refused(byAPIServer(says), common.creating(common.admin, environment))
},
	attack("T7", "a file", `file:///var/run/secrets/kubernetes.io/serviceaccount/token`, baseURLRule),
	attack("T7", "gopher", `gopher://127.0.0.1:6379/_x`, baseURLRule),
	attack("T7", "ftp", `ftp://api.workos.com`, baseURLRule),
	attack("T7", "a socket", `unix:///var/run/docker.sock`, baseURLRule),
	attack("T7", "a script", `javascript:alert(1)`, baseURLRule),
	attack("T7", "no host", `https:///data-integrations`, baseURLRule),
	attack("T7", "a user that looks like the host", `https://api.workos.com@loopback.example.com`, baseURLRule),
	attack("T7", "a user and a password", `https://user:password@api.workos.com`, baseURLRule),
	attack("T7", "a host behind an escaped user", `https://api.workos.com%40loopback.example.com`, baseURLRule),
	attack("T7", "a query", `https://api.workos.com?x=`, baseURLRule),
	attack("T7", "a fragment", `https://api.workos.com#.example.com`, baseURLRule),
	attack("T7", "a backslash", `https://loopback.example.com\.api.workos.com`, baseURLRule),
	attack("T7", "a line break", "https://api.workos.com\r\nHost: x", baseURLRule),
	attack("T7", "a space", `https://api.workos.com .example.com`, baseURLRule),
	attack("T7", "a NUL, escaped", `https://api.workos.com%00.example.com`, baseURLRule),
	attack("T7", "a Cyrillic letter", "https://\u0430pi.workos.com", baseURLRule),
	attack("T7", "a letter that is k in another case", "https://api.wor\u212aos.com", baseURLRule),
	attack("T7", "a stop that is none", "https://api\u3002workos\u3002com", baseURLRule),
	attack("T7", "much", `https://api.workos.com/`+strings.Repeat("a", 512), `Too long`),
)

const baseURLRule = `baseURL must be a URL such as https://api.workos.com`

// Messages of the operator about base URLs that it may not send API keys to.
const (
	notAllowed = `its administrator can add the host to --allowed-upstream-hosts`
	notSecure  = `spec.baseURL must begin with https://`
)

var _ = DescribeTable("A base URL that the operator refuses", func(baseURL, says string) {
	w := newWorld(nothing)
	w.withOwnKey()
	environment, token := w.ownEnvironment(baseURL), w.pipesToken("mine", ownToken)
	w.connect(token)
	before := w.takeStock()
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(environment, v1alpha1.UpstreamNotAllowedReason, says)
	w.expectReady(token, v1alpha1.EnvironmentNotReadyReason, says)
	w.expectNothingDone(before)
},
	attack("T7", "the metadata service", `https://169.254.169.254/latest/meta-data`, notAllowed),
	attack("T7", "the metadata service, by http", `http://169.254.169.254`, notSecure),
	attack("T7", "the metadata service, in IPv6", `https://[fd00:ec2::254]`, notAllowed),
	attack("T7", "the metadata service, in IPv6 for IPv4", `https://[::ffff:169.254.169.254]`, notAllowed),
	attack("T7", "the metadata service, by name", `https://metadata.google.internal`, notAllowed),
	attack("T7", "a link-local address with a zone", `https://[fe80::1%25eth0]`, notAllowed),
	attack("T7", "loopback", `https://TRAP`, notAllowed),
	attack("T7", "loopback in short", `https://127.1`, notAllowed),
	attack("T7", "loopback as a number", `https://2130706433`, notAllowed),
	attack("T7", "loopback in octal", `https://0177.0.0.1`, notAllowed),
	attack("T7", "loopback in hexadecimal", `https://0x7f.0x0.0x0.0x1`, notAllowed),
	attack("T7", "loopback in IPv6", `https://[::1]`, notAllowed),
	attack("T7", "the address of every interface", `https://0.0.0.0`, notAllowed),
	attack("T7", "a name that resolves to loopback", `https://loopback.example.com`, notAllowed),
	attack("T7", "localhost", `https://localhost`, notAllowed),
	attack("T7", "a private address", `https://10.0.0.1`, notAllowed),
	attack("T7", "another private address", `https://192.168.0.1`, notAllowed),
	attack("T7", "the API server", `https://APISERVER`, notAllowed),
	attack("T7", "the API server, by name", `https://kubernetes.default.svc`, notAllowed),
	attack("T7", "WorkOS by http", `http://api.workos.com`, notSecure),
	attack("T7", "WorkOS by http at the port of https", `http://api.workos.com:443`, notSecure),
	attack("T7", "WorkOS with a stop behind", `https://api.workos.com.`, notAllowed),
	attack("T7", "a host that begins as WorkOS", `https://api.workos.com.loopback.example.com`, notAllowed),
	attack("T7", "a host that ends as WorkOS", `https://evil-api.workos.com`, notAllowed),
	attack("T7", "a host below WorkOS", `https://x.api.workos.com`, notAllowed),
	attack("T7", "the domain of WorkOS", `https://workos.com`, notAllowed),
	attack("T7", "a host that looks like WorkOS", `https://xn--pi-7kc.workos.com`, notAllowed),
	attack("T7", "a Cyrillic letter, escaped", `https://%D0%B0pi.workos.com`, notAllowed),
	attack("T7", "a stop that is none, escaped", `https://api%E3%80%82workos.com`, notAllowed),
	attack("T9", "another port of WorkOS", `https://api.workos.com:22`, notAllowed),
	attack("T9", "the port of http", `https://api.workos.com:80`, notAllowed),
	attack("T9", "the port, written in another way", `https://api.workos.com:0443`, notAllowed),
	attack("T9", "the last port", `https://api.workos.com:65535`, notAllowed),
)

var _ = DescribeTable("A base URL that is another spelling of WorkOS leads there", func(baseURL, arrives string) {
	w := newWorld(nothing)
	w.withOwnKey()
	environment, token := w.ownEnvironment(baseURL), w.pipesToken("mine", ownToken)
	w.connect(token)
	before := w.takeStock()
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	w.expectReady(environment, v1alpha1.AvailableReason, "")
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectLookedAt(token)
	Expect(network.callsSince(before.mark)).To(HaveExactElements(called + ": POST " + arrives))
	Expect(network.count(elsewhere)).To(BeZero())
},
	attack("T7", "in capitals", `HTTPS://API.WORKOS.COM`, `api.workos.com/data-integrations/github/token`),
	attack("T7", "with its port", `https://api.workos.com:443`, `api.workos.com:443/data-integrations/github/token`),
	attack("T7", "with an empty port", `https://api.workos.com:`, `api.workos.com/data-integrations/github/token`),
	attack("T7", "with a path that leads up", `https://api.workos.com/a/../../..`, `api.workos.com/data-integrations/github/token`),
	attack("T7", "with a path that leads up, escaped", `https://api.workos.com/%2e%2e/a`, `api.workos.com/../a/data-integrations/github/token`),
	attack("T7", "with a host in the path", `https://api.workos.com//loopback.example.com`, `api.workos.com/loopback.example.com/data-integrations/github/token`),
)

// Attack: strings.EqualFold treats the long s and the Kelvin sign as s and k in another case, but
// for DNS they are other letters. A host with such a letter is not an allowed upstream host, so
// it must not get an API key.
var _ = DescribeTable("A base URL with a letter that is s or k in another case", func(baseURL string) {
	w := newWorld(nothing)
	w.withOwnKey()
	environment, token := w.ownEnvironment(baseURL), w.pipesToken("mine", ownToken)
	w.connect(token)
	dials, before := network.count(toWorkOS), w.takeStock()
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	w.expectLookedAt(environment)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectLookedAt(token)
	Expect(network.count(toWorkOS)-dials).To(BeNumerically("<=", 1), "the operator has dialled WorkOS again and again for one call")
	w.expectReady(environment, v1alpha1.UpstreamNotAllowedReason, notAllowed)
	w.expectReady(token, v1alpha1.EnvironmentNotReadyReason, notAllowed)
	w.expectNothingDone(before)
},
	attack("T7", "escaped", `https://api.worko%C5%BF.com`),
	attack("T7", "the sign of Kelvin, escaped", `https://api.wor%E2%84%AAos.com`),
	attack("T7", "escaped in lower case", `https://api.worko%c5%bf.com`),
)

var _ = DescribeTable("A redirect by WorkOS", func(code int, location string) {
	w := newWorld(one)
	network.answerWith(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", location)
		w.WriteHeader(code)
	})
	token := w.pipesToken("mine", `{}`)
	before := w.takeStock()
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.RequestRejectedReason, fmt.Sprintf("WorkOS refuses the request: HTTP %d", code))
	w.expectOnly(before, askedForGitHub)
}, func() []TableEntry {
	var entries []TableEntry
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{
			"http://169.254.169.254/latest/meta-data",
			"https://loopback.example.com/data-integrations/github/token",
			"/data-integrations/slack/token",
		} {
			entries = append(entries, attack("T8", fmt.Sprintf("%d to %s", code, location), code, location))
		}
	}
	return entries
}())

var _ = It("T9: looking around by base URLs tells the same of an open port, of a closed one, and of a host that is not there", Label("T9"), func() {
	w := newWorld(nothing)
	w.withOwnKey()
	closed := freeAddress()
	environment := w.ownEnvironment("https://TRAP")
	Expect(w.admin.Create(w.ctx, environment)).To(Succeed())
	before := w.takeStock()
	messages := map[string]bool{}
	for _, host := range []string{network.trap.Listener.Addr().String(), closed, "192.0.2.1:443", "loopback.example.com", "nobody.example.com", "api.workos.com:1"} {
		Expect(w.edit(w.admin, environment, func() { setSpec(environment, "baseURL", "https://"+host) })).To(Succeed())
		w.expectReady(environment, v1alpha1.UpstreamNotAllowedReason, fmt.Sprintf("%q", host))
		messages[strings.ReplaceAll(fmt.Sprint(readyOf(w.reload(environment))["message"]), host, "HOST")] = true
	}
	Expect(messages).To(HaveLen(1))
	w.expectNothingDone(before)
})

var _ = DescribeTable("A host that is allowed and cannot be reached", func(down error, says string) {
	w := newWorld(one)
	network.failWith(down)
	token := w.pipesToken("mine", `{}`)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.UpstreamUnavailableReason, "WorkOS cannot be reached or fails; the operator tries again by itself: "+says)
	Expect(readyOf(w.reload(token))["message"]).To(HaveSuffix(says))
},
	attack("T9", "told as refused, without its address", &net.OpError{Op: "dial", Net: "tcp", Addr: inside, Err: syscall.ECONNREFUSED}, "connection refused"),
	attack("T9", "told as failed, without its address", &net.OpError{Op: "dial", Net: "tcp", Addr: inside, Err: syscall.EHOSTUNREACH}, "connection failed"),
	attack("T9", "told as unknown, without the resolver", &net.DNSError{Err: "no such host", Name: "api.workos.com", Server: "10.96.0.10:53", IsNotFound: true}, "no such host"),
	attack("T9", "told as failed, without what answered", fmt.Errorf("proxyconnect tcp: %w at 10.96.0.1", errUnreachable), "connection failed"),
)

// inside is an address that must not be shown to tenants.
var inside = &net.TCPAddr{IP: net.IPv4(10, 96, 0, 1), Port: 443}

// freeAddress returns an address of this machine that nothing listens on.
func freeAddress() string {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	Expect(listener.Close()).To(Succeed())
	return listener.Addr().String()
}
