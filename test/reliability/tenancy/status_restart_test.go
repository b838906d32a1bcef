//go:build reliability

package tenancy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// A process that has just started reads from statuses what it does not remember. A status that
// was forged while the operator was away must not cost a valid token.
var _ = DescribeTable("Statuses that somebody with all rights has forged while the operator was away", func(transition time.Duration) {
	w := newWorld(all)
	names := slices.Sorted(maps.Keys(forgeries))
	var tokens []*unstructured.Unstructured
	for i := range names {
		tokens = append(tokens, w.synced(fmt.Sprintf("mine-%d", i), fmt.Sprintf(`{userID: user_%d}`, i)))
	}
	queues.Advance(time.Minute)
	at := clock.Now().Add(transition).Format(time.RFC3339)
	before := network.mark()
	operator.stop()
	for i, name := range names {
		Expect(w.forge(root, tokens[i], strings.ReplaceAll(forgeries[name], longAgo, at))).To(Succeed())
	}
	operator.start()
	for i, name := range names {
		By(name)
		w.expectReady(tokens[i], v1alpha1.TokenSyncedReason, "holds a valid token")
		Expect(w.secretOf(tokens[i].GetName()).Data).To(HaveKey("access_token"))
	}
	queues.Settle()
	Expect(network.callsSince(before)).To(Or(BeEmpty(), HaveEach(askedForGitHub)), "asking WorkOS what is true is fine")
},
	attack("T6", "with a transition before the token", -time.Hour),
	attack("T6", "with a transition after the token", time.Duration(0)),
	attack("T6", "with a transition that is to come", time.Hour),
)
