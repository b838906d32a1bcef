//go:build reliability

package tenancy_test

import (
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
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
