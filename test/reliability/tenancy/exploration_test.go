//go:build reliability

package tenancy_test

import (
	"fmt"
	"net"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

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
