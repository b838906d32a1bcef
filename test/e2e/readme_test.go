//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
)

var _ = Describe("The README and the guides", func() {
	It("lead to a pod that reads its token", func() {
		namespace, c := newNamespace(), connect()
		blocks := publishedBlocks()
		applyPublished(slices.Concat(ofKind(blocks, "PipesToken"), ofKind(blocks, "Pod")), namespace, c)

		for _, token := range ofKind(blocks, "PipesToken") {
			waitForReason(namespace, headerOf(token).Name, "TokenSynced", time.Minute)
		}
		waitFor(namespace, "pod/agent-alice", "condition=Ready", 2*time.Minute)
		Expect(readTogether(namespace)).To(Equal(fmt.Sprintf("%s %s\n", c.value(1), c.expiry(1))))
		Eventually(func() string { return logOf(namespace, "agent-alice") }).Should(HavePrefix(fmt.Sprintf("valid until %s\n", c.expiry(1))))

		By("reading what the templates have made")
		Expect(secretData(namespace, "github-alice-netrc")).To(Equal(map[string]string{
			".netrc": fmt.Sprintf("machine github.com login x-access-token password %s\n", c.value(1)),
		}))
		Expect(secretData(namespace, "github-alice-gh")).To(Equal(map[string]string{
			"hosts.yml":  fmt.Sprintf("github.com:\n  oauth_token: %q\n  git_protocol: https\n", c.value(1)),
			"config.yml": "version: \"1\"\n",
		}))
	})
})

// readTogether runs, in the pod of the README, the README's command that reads both files.
func readTogether(namespace string) string {
	GinkgoHelper()
	command := regexp.MustCompile(`(?m)^ *(cd /var/run/pipes/github/\.\.data && .+)$`).FindStringSubmatch(page("README.md"))
	Expect(command).NotTo(BeNil())
	output, err := inPod(namespace, "agent-alice", command[1]+` && echo "$token $expires_at"`)
	Expect(err).NotTo(HaveOccurred())
	return output
}

// expiry returns the expiry of a token in the format of the Secret.
func (c connection) expiry(serial int) string {
	GinkgoHelper()
	token, known := c.tokens()[serial]
	Expect(known).To(BeTrue(), "WorkOS has not handed out token %d", serial)
	return token.expires.UTC().Format(time.RFC3339)
}

// secretData returns the data of a Secret.
func secretData(namespace, name string) map[string]string {
	GinkgoHelper()
	data := map[string]string{}
	for key, value := range get[corev1.Secret]("secret", name, "--namespace="+namespace).Data {
		data[key] = string(value)
	}
	return data
}
