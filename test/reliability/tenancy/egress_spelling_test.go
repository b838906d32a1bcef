//go:build reliability

package tenancy_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
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
