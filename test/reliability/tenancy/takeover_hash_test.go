//go:build reliability

package tenancy_test

import (
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Attack: the token label of a PipesToken with a long name contains a hash. The attacker names a
// PipesToken as this label, or as the hash in it, to take over the orphaned Secret. The API
// server refuses the whole label as a name.
var _ = DescribeTable("A PipesToken that is named as the label of another, whose Secret is orphaned", func(part string, says refusal) {
	w := newWorld(all)
	theirs := w.synced(strings.Repeat("a", 70), `{secretName: wanted}`)
	w.afterPass(theirs, func() { Expect(w.edit(w.editor, theirs, func() { setSpec(theirs, "suspend", true) })).To(Succeed()) })
	w.editSecret(wanted, theirs, func(s *corev1.Secret) { s.OwnerReferences = nil })
	mine := w.pipesToken(regexp.MustCompile(part).FindString(w.secretOf(wanted).Labels[v1alpha1.TokenLabel]), `{secretName: wanted, userID: user_victim}`)
	w.connect(mine)
	w.refused(says, w.creating(w.editor, mine))
},
	attack("T15", "as a whole", `.*`, byAPIServer(`metadata.name: Invalid value`)),
	attack("T15", "by its hash", `[0-9a-f]{32}`, byCondition(v1alpha1.SecretConflictReason, `Secret "wanted" exists and belongs to somebody else`)),
)
