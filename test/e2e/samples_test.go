//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
)

// client is a sample pod that repeatedly calls GitHub.
type client struct{ pod, userAgent, host, scheme string }

var clients = []client{
	{"agent-alice-git", "git/", "github.com", "Basic"},
	{"agent-alice-curl", "curl/", "api.github.com", "Bearer"},
	{"agent-alice-gh", "GitHub CLI", "api.github.com", "token"},
}

// showing matches an accepted request of the client with this token.
func (c client) showing(serial int) types.GomegaMatcher {
	return And(HaveField("Host", c.host), HaveField("Scheme", c.scheme), HaveField("Serial", serial), HaveField("Status", 200))
}

// tokensOfUsers returns the samples that match a pattern, without the PipesToken for a connection of
// an organization. The connections of these tests belong to users.
func tokensOfUsers(pattern string) map[string]string {
	GinkgoHelper()
	files := sampleFiles(pattern)
	delete(files, "pipes_v1alpha1_pipestoken_organization.yaml")
	return files
}

var _ = Describe("The samples", func() {
	It("work as they are, and send the new token after a rotation", func() {
		namespace, c := newNamespace(), connect()
		server := startGitHub(namespace, c)
		files := tokensOfUsers("pipes_v1alpha1_pipestoken*.yaml")
		maps.Copy(files, sampleFiles("pod*.yaml"))
		delete(files, "pod_private_image.yaml")
		applyPublished(slices.Collect(maps.Values(files)), namespace, c, fmt.Sprintf(proxyPatch, server.address))

		By("waiting for the first request of each")
		for _, client := range clients {
			Eventually(func() []sent { return server.from(client.userAgent) }, 2*time.Minute).Should(ContainElement(client.showing(1)), client.pod)
		}
		Eventually(func() (string, error) { return inPod(namespace, "agent-alice-git", "cat /src/repository/README.md") }).
			Should(Equal("It is private.\n"))
		Eventually(func() string { return logOf(namespace, "agent-alice-curl") }).Should(HavePrefix("200\n"))
		Eventually(func() string { return logOf(namespace, "agent-alice-gh") }).Should(HavePrefix("alice\n"))

		By("rotating")
		control("create", "expire", c.ID)
		kubectl("annotate", "pipestokens", "--all", "--namespace="+namespace, "pipes.workos.com/refresh-requested-at=now")
		for _, client := range clients {
			Eventually(func() []sent { return server.from(client.userAgent) }, 4*time.Minute).Should(ContainElement(client.showing(2)), client.pod)
		}
		Expect(c.tokens()).To(HaveLen(2), "the second token is the newest")
		expectSteady(namespace, server)
	})

	It("are checked by a server that lets no other token through", func() {
		namespace, c, other := newNamespace(), connect(), connect()
		server := startGitHub(namespace, c)
		applyPublished([]string{sampleFile("pipes_v1alpha1_pipestoken.yaml"), sampleFile("pod_curl.yaml")}, namespace, c,
			fmt.Sprintf(proxyPatch, server.address))
		waitFor(namespace, "pod/agent-alice-curl", "condition=Ready", 2*time.Minute)
		const api, repository = "https://api.github.com/user", "https://github.com/example/private.git/info/refs?service=git-upload-pack"
		for _, attempt := range []struct {
			userAgent, how, url, status string
		}{
			{"nobody", "", api, "401"},
			{"nobody", "", repository, "401"},
			{"other", "--header 'Authorization: Bearer " + other.value(1) + "'", api, "401"},
			{"other", "--user x-access-token:" + other.value(1), repository, "401"},
			{"nearly", "--header 'Authorization: token " + c.value(1) + "0'", api, "401"},
			{"right", "--header 'Authorization: token " + c.value(1) + "'", api, "200"},
			{"right", "--user x-access-token:" + c.value(1), repository, "200"},
		} {
			Expect(inPod(namespace, "agent-alice-curl", fmt.Sprintf("curl --silent --output /dev/null --write-out '%%{http_code}' --user-agent %s %s '%s'",
				attempt.userAgent, attempt.how, attempt.url))).To(Equal(attempt.status), "%+v", attempt)
		}
		seen := func(scheme string, serial, status int) types.GomegaMatcher {
			return And(HaveField("Scheme", scheme), HaveField("Serial", serial), HaveField("Status", status))
		}
		Eventually(func() []sent { return server.from("right") }).Should(HaveExactElements(seen("token", 1, 200), seen("Basic", 1, 200)))
		Expect(server.from("nearly")).To(HaveExactElements(seen("token", 0, 401)))
		Expect(server.from("other")).To(HaveExactElements(seen("Bearer", 0, 401), seen("Basic", 0, 401)))
		Expect(server.requests()).NotTo(ContainElement(And(HaveField("UserAgent", "nobody"), Not(HaveField("Status", 401)))))
	})

	It("make Secrets of the types that Kubernetes knows", func() {
		namespace, c := newNamespace(), connect()
		applyPublished(slices.Collect(maps.Values(tokensOfUsers("pipes_v1alpha1_pipestoken_*.yaml"))), namespace, c)
		waitForReason(namespace, "registry-alice", "TokenSynced", time.Minute)
		waitForReason(namespace, "github-alice-basic-auth", "TokenSynced", time.Minute)

		registry := get[corev1.Secret]("secret", "registry-alice", "--namespace="+namespace)
		Expect(registry.Type).To(Equal(corev1.SecretTypeDockerConfigJson))
		Expect(registry.Data).To(HaveLen(1))
		Expect(dockerLogins(registry.Data[corev1.DockerConfigJsonKey])).
			To(Equal(map[string]dockerLogin{"registry.example.com": {"x-access-token", c.value(1)}}))

		basic := get[corev1.Secret]("secret", "github-alice-basic-auth", "--namespace="+namespace)
		Expect(basic.Type).To(Equal(corev1.SecretTypeBasicAuth))
		Expect(secretData(namespace, basic.Name)).To(Equal(map[string]string{
			corev1.BasicAuthUsernameKey: "x-access-token", corev1.BasicAuthPasswordKey: c.value(1),
		}))

		By("having the kubelet pull, from a registry that does not exist, with and without the Secret")
		pod := sampleFile("pod_private_image.yaml")
		without := strings.NewReplacer("agent-alice-private-image", "without", "registry-alice", "missing").Replace(pod)
		applyPublished([]string{pod, without}, namespace, c)
		for name, finding := range map[string]types.GomegaMatcher{
			"agent-alice-private-image": Not(ContainSubstring("FailedToRetrieveImagePullSecret")),
			"without":                   ContainSubstring("FailedToRetrieveImagePullSecret"),
		} {
			Eventually(func() string { return eventsOf(namespace, name) }).Should(ContainSubstring(`Failed to pull image "registry.example.com/`))
			Expect(eventsOf(namespace, name)).To(finding)
		}
	})
})

// expectSteady expects that no pod was restarted, that each client has sent only its tokens, and
// that no older token follows a newer token.
func expectSteady(namespace string, server github) {
	GinkgoHelper()
	restarts := kubectl("get", "pods", "--namespace="+namespace, "--output=jsonpath={.items[*].status.containerStatuses[*].restartCount}")
	Expect(strings.Fields(restarts)).To(HaveEach("0"))
	for _, client := range clients {
		requests := server.from(client.userAgent)
		Expect(requests).To(HaveEach(Or(client.showing(1), client.showing(2))), client.pod)
		Expect(slices.IsSortedFunc(requests, func(a, b sent) int { return a.Serial - b.Serial })).To(BeTrue(), "%+v", requests)
	}
}

// dockerLogin is the part of a `docker login` entry that the kubelet needs.
type dockerLogin struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// dockerLogins returns the logins in a .dockerconfigjson, by registry.
func dockerLogins(text []byte) map[string]dockerLogin {
	GinkgoHelper()
	var config struct {
		Auths map[string]dockerLogin `json:"auths"`
	}
	Expect(json.Unmarshal(text, &config)).To(Succeed())
	return config.Auths
}

// inPod runs a shell command in a pod.
func inPod(namespace, pod, command string) (string, error) {
	return tryKubectl("", "exec", pod, "--namespace="+namespace, "--", "sh", "-c", command)
}

func logOf(namespace, pod string) string {
	GinkgoHelper()
	return kubectl("logs", pod, "--namespace="+namespace)
}

// eventsOf returns the events of a pod, each on its own line.
func eventsOf(namespace, pod string) string {
	GinkgoHelper()
	return kubectl("get", "events", "--namespace="+namespace, "--field-selector=involvedObject.name="+pod,
		`--output=jsonpath={range .items[*]}{.reason}: {.message}{"\n"}{end}`)
}
