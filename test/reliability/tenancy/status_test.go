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
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// longAgo is before any token of the suite was obtained.
const longAgo = "2020-01-01T00:00:00Z"

// forgery returns a status with a Ready condition that the operator has not written, and the
// fields in more.
func forgery(status, reason, more string) string {
	return `{status: {conditions: [{type: Ready, status: "` + status + `", reason: ` + reason +
		`, message: forged, lastTransitionTime: "` + longAgo + `", observedGeneration: 1}], observedGeneration: 1` + more + `}}`
}

// forge writes a status with the rights of forger.
func (w *world) forge(forger client.Client, object client.Object, status string) error {
	GinkgoHelper()
	patch, err := yaml.YAMLToJSON([]byte(status))
	Expect(err).NotTo(HaveOccurred())
	return forger.Status().Patch(w.ctx, object, client.RawPatch(types.MergePatchType, patch))
}

var _ = DescribeTable("Writing a status", func(role, kind string) {
	w := newWorld(nothing)
	token := w.pipesToken("mine", `{}`)
	Expect(w.editor.Create(w.ctx, token)).To(Succeed())
	w.expectReady(token, v1alpha1.NotGrantedReason, "")
	environment := newEnvironment(w.namespace, "mine", `{}`)
	w.must(environment)
	w.expectReady(environment, v1alpha1.APIKeyForbiddenReason, "")
	target, resource := token, "pipestokens/status"
	if kind == "PipesEnvironment" {
		target, resource = environment, "pipesenvironments/status"
	}
	for _, verb := range []string{"patch", "update"} {
		w.refused(byAPIServer(`cannot `+verb+` resource "`+resource+`"`), func() (client.Object, error) {
			if verb == "patch" {
				return nil, w.forge(w.as(role), target, forgery("True", "TokenSynced", ""))
			}
			return nil, w.as(role).Status().Update(w.ctx, w.reload(target))
		})
	}
},
	attack("T6", "of a PipesToken, with edit", "edit", "PipesToken"),
	attack("T6", "of a PipesToken, with admin", "admin", "PipesToken"),
	attack("T6", "of a PipesEnvironment, with edit", "edit", "PipesEnvironment"),
	attack("T6", "of a PipesEnvironment, with admin", "admin", "PipesEnvironment"),
)

var _ = It("T6: a status that comes with a new PipesToken is dropped", Label("T6"), func() {
	w := newWorld(nothing)
	token := w.pipesToken("mine", `{}`)
	token.Object["status"] = parse(forgery("True", "TokenSynced", `, binding: {name: workos-api-key}`))["status"]
	w.refused(byCondition(v1alpha1.NotGrantedReason, `spec.grants`), w.creating(w.editor, token))
	Expect(w.reload(token).Object["status"]).NotTo(HaveKey("binding"))
})

// forgeries are forged statuses. If they were true, the operator would have to act.
var forgeries = map[string]string{
	"ready for ever":          forgery("True", "TokenSynced", `, expirationTime: "2099-01-01T00:00:00Z", renewalTime: "2099-01-01T00:00:00Z"`),
	"bound to another Secret": forgery("True", "TokenSynced", `, binding: {name: workos-api-key}`),
	"not installed":           forgery("False", "NotInstalled", ""),
	"inactive":                forgery("False", "Inactive", ""),
	"not granted":             forgery("False", "NotGranted", ""),
	"in conflict":             forgery("False", "SecretConflict", ""),
	"rejected":                forgery("False", "SecretRejected", ""),
	"without an environment":  forgery("False", "EnvironmentNotReady", ""),
	"of the future":           forgery("Unknown", "Pending", `, observedGeneration: 99`),
	"empty":                   `{status: null}`,
}

var _ = DescribeTable("A status that somebody with all rights has forged", func(status string) {
	w := newWorld(one)
	token := w.synced("mine", `{}`)
	before := w.takeStock()
	Expect(w.forge(root, token, status)).To(Succeed())
	w.afterPass(token, func() {
		Expect(w.edit(w.editor, token, func() {
			Expect(unstructured.SetNestedField(token.Object, "11m", "spec", "renewBefore")).To(Succeed())
		})).To(Succeed())
	})
	w.expectNothingDone(before)
	w.expectReady(token, v1alpha1.TokenSyncedReason, `Secret "mine" holds a valid token`)
	Expect(w.reload(token).Object["status"]).To(HaveKeyWithValue("binding", HaveKeyWithValue("name", "mine")))
}, func() []TableEntry {
	var entries []TableEntry
	for _, name := range slices.Sorted(maps.Keys(forgeries)) {
		entries = append(entries, attack("T6", name, forgeries[name]))
	}
	return entries
}())

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
