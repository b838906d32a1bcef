//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// userRights is what a user with a built-in role in a namespace may do: the table of
// docs/explanation/security.md, and the rights for the Secret that contains the token.
//
//nolint:dupword // a table
const userRights = `
                                                 get  list  watch  create  update  patch  delete  deletecollection
view pipestokens.pipes.workos.com                yes  yes   yes    no      no      no     no      no
view pipestokens.pipes.workos.com/status         yes  .     .      .       no      no     .       .
view pipesenvironments.pipes.workos.com          yes  yes   yes    no      no      no     no      no
view pipesenvironments.pipes.workos.com/status   yes  .     .      .       no      no     .       .
view secrets                                     no   no    no     no      no      no     no      no
edit pipestokens.pipes.workos.com                yes  yes   yes    yes     yes     yes    yes     yes
edit pipestokens.pipes.workos.com/status         yes  .     .      .       no      no     .       .
edit pipesenvironments.pipes.workos.com          yes  yes   yes    no      no      no     no      no
edit pipesenvironments.pipes.workos.com/status   yes  .     .      .       no      no     .       .
edit secrets                                     yes  yes   yes    yes     yes     yes    yes     yes
admin pipestokens.pipes.workos.com               yes  yes   yes    yes     yes     yes    yes     yes
admin pipestokens.pipes.workos.com/status        yes  .     .      .       no      no     .       .
admin pipesenvironments.pipes.workos.com         yes  yes   yes    yes     yes     yes    yes     yes
admin pipesenvironments.pipes.workos.com/status  yes  .     .      .       no      no     .       .
admin secrets                                    yes  yes   yes    yes     yes     yes    yes     yes
`

var _ = Describe("Users", func() {
	var namespace string

	BeforeEach(func() {
		namespace = newNamespace()
		for _, role := range []string{"view", "edit", "admin"} {
			kubectl("create", "rolebinding", role, "--namespace="+namespace, "--clusterrole="+role, "--user="+roleUser(role))
		}
		// Kubernetes adds the rules of the operator's roles to the built-in roles a moment after
		// the install.
		for _, right := range [][]string{{"view", "get", "pipestokens"}, {"edit", "create", "pipestokens"}, {"admin", "create", "pipesenvironments"}} {
			Eventually(func() bool { return canI(roleUser(right[0]), right[1], right[2], "--namespace="+namespace) }).Should(BeTrue(), "%v", right)
		}
	})

	It("may do what docs/explanation/security.md says, by the built-in roles", func() {
		wanted := parseMatrix(userRights)
		rights := wanted.answered(func(verb, subject string) string {
			role, what, _ := strings.Cut(subject, " ")
			if canI(roleUser(role), verb, what, "--namespace="+namespace) {
				return "yes"
			}
			return "no"
		})
		AddReportEntry("kubectl auth can-i, as somebody with a built-in role in the namespace (.: not asked)", "\n"+rights.String(), ReportEntryVisibilityAlways)
		Expect(rights.String()).To(Equal(wanted.String()))
	})

	It("create PipesTokens by edit and PipesEnvironments by admin, and write no status at all", func() {
		as := func(role, input string, args ...string) (string, error) {
			return tryKubectl(input, append(args, "--namespace="+namespace, "--as="+roleUser(role))...)
		}
		forbidden := func(role, verb, resource string) string {
			return fmt.Sprintf(`User %q cannot %s resource %q in API group "pipes.workos.com" in the namespace %q`, roleUser(role), verb, resource, namespace)
		}
		c := connect()
		token := c.token(namespace, "token")
		_, err := as("view", token, "create", "--filename=-")
		Expect(err).To(MatchError(ContainSubstring(forbidden("view", "create", "pipestokens"))))
		_, err = as("edit", token, "create", "--filename=-")
		Expect(err).NotTo(HaveOccurred())
		waitForReason(namespace, "token", "TokenSynced", time.Minute)
		Expect(as("view", "", "get", "pipestokens")).To(ContainSubstring("TokenSynced"))
		_, err = as("view", "", "get", "secret", "token")
		Expect(err).To(MatchError(ContainSubstring("cannot get resource \"secrets\"")))

		_, err = as("edit", environment(namespace, apiKey), "create", "--filename=-")
		Expect(err).To(MatchError(ContainSubstring(forbidden("edit", "create", "pipesenvironments"))))
		for _, role := range []string{"view", "edit", "admin"} {
			_, err = as(role, "", "patch", "pipestoken", "token", "--subresource=status", "--type=merge", `--patch={"status":{"observedGeneration":7}}`)
			Expect(err).To(MatchError(ContainSubstring(forbidden(role, "patch", "pipestokens/status"))))
		}
		_, err = as("admin", fmt.Sprintf(environments, namespace, "own", "workos-api-key", "api-key", "https://api.workos.com", "{disabled: true}"), "create", "--filename=-")
		Expect(err).NotTo(HaveOccurred())
	})
})

// roleUser returns a user who has only this role, in a single namespace.
func roleUser(role string) string { return "alice-" + role }
