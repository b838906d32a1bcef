//go:build reliability

package tenancy_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// flooded is a PipesEnvironment with an API key of its own. WorkOS must not get more requests
// with this key than requestsPerMinute in any minute.
const (
	requestsPerMinute = 30
	flooded           = `{apiKeySecretRef: {name: flood-api-key}, requestsPerMinute: 30, grants: [{namespaces: {names: [TENANT, neighbour]}, ` + anything + `}]}`
)

// flood creates PipesTokens of one tenant at once, and waits until the operator has reported on
// each.
func (w *world) flood(count int) []*unstructured.Unstructured {
	GinkgoHelper()
	var tokens []*unstructured.Unstructured
	for i := range count {
		token := w.pipesToken(fmt.Sprintf("flood-%d", i), fmt.Sprintf(`{userID: flood_%d}`, i))
		w.connect(token)
		Expect(w.editor.Create(w.ctx, token)).To(Succeed())
		tokens = append(tokens, token)
	}
	for _, token := range tokens {
		w.expectLookedAt(token)
	}
	return tokens
}

// expectNoMinuteAbove checks the requests that WorkOS got since the flood began, and returns how
// many there were.
func expectNoMinuteAbove(limit int, since int) int {
	GinkgoHelper()
	seen := network.workos.Requests()[since:]
	first := 0
	for last, request := range seen {
		for request.Time.Sub(seen[first].Time) >= time.Minute {
			first++
		}
		Expect(last-first+1).To(BeNumerically("<=", limit), "requests in the minute up to %s", request.Time)
	}
	return len(seen)
}

var _ = Describe("A flood", Label("T17"), func() {
	It("T17: of PipesTokens stays within the requests per minute, and a neighbour has their turn", func() {
		w := newWorld(flooded)
		since := len(network.workos.Requests())
		w.flood(100)
		late := w.pipesToken("late", `{userID: user_late}`)
		late.SetNamespace(neighbour)
		w.connect(late)
		w.must(late)
		DeferCleanup(func() { Expect(root.Delete(w.ctx, late)).To(Succeed()) })
		w.expectLookedAt(late)
		queues.Advance(4 * time.Minute)
		w.expectReady(late, v1alpha1.TokenSyncedReason, "")
		Expect(expectNoMinuteAbove(requestsPerMinute, since)).To(BeNumerically(">", 100))
	})

	It("T17: of requests to refresh stays within the requests per minute", func() {
		w := newWorld(flooded)
		since := len(network.workos.Requests())
		tokens := w.flood(20)
		for round := range 10 {
			for _, token := range tokens {
				w.askNow(token, fmt.Sprint(round))
			}
			queues.Advance(10 * time.Second)
		}
		Expect(expectNoMinuteAbove(requestsPerMinute, since)).To(BeNumerically(">", requestsPerMinute))
	})

	It("T17: of PipesEnvironments with one API key shares the requests per minute, and the smallest number counts", func() {
		w := newWorld(flooded)
		since := len(network.workos.Requests())
		w.must(newSecret(w.namespace, "flood-api-key", map[string]string{"api-key": floodKey}))
		w.letKeysBeRead()
		for i := range 5 {
			environment := newEnvironment(w.namespace, fmt.Sprintf("own-%d", i), `{apiKeySecretRef: {name: flood-api-key}}`)
			w.must(environment)
			w.expectReady(environment, v1alpha1.AvailableReason, "")
		}
		for i := range 60 {
			token := w.pipesToken(fmt.Sprintf("flood-%d", i), fmt.Sprintf(`{userID: flood_%d, environmentRef: {name: own-%d, namespace: null}}`, i, i%5))
			w.connect(token)
			Expect(w.editor.Create(w.ctx, token)).To(Succeed())
		}
		queues.Advance(2 * time.Minute)
		Expect(expectNoMinuteAbove(requestsPerMinute, since)).To(BeNumerically(">", requestsPerMinute))
	})

	It("T17: of changes to one Secret costs ever fewer calls", func() {
		w := newWorld(one)
		token := w.synced("mine", `{}`)
		id := workossim.ID{Slug: "github", UserID: granted}
		before := len(network.workos.RequestsFor(id))
		for i := range 60 {
			w.editSecret("mine", token, func(s *corev1.Secret) { s.StringData = map[string]string{"access_token": fmt.Sprint("forged ", i)} })
			queues.Advance(10 * time.Second)
		}
		Expect(len(network.workos.RequestsFor(id)) - before).To(BeNumerically("<=", 12))
		queues.Advance(10 * time.Minute)
		w.expectReady(token, v1alpha1.TokenSyncedReason, "")
	})
})

// askNow requests a refresh with the annotation.
func (w *world) askNow(token client.Object, value string) {
	GinkgoHelper()
	Expect(w.edit(w.editor, token, func() {
		token.SetAnnotations(map[string]string{v1alpha1.RefreshRequestedAtAnnotation: value})
	})).To(Succeed())
}
