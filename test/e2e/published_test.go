//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// The examples in the README, the guides and config/samples use a single namespace, user and
// organization.
const (
	publishedNamespace    = "agents"
	publishedUser         = "user_01EHZNVPK3SFK441A1RGBFSHRT"
	publishedOrganization = "org_01EHZNVPK3SFK441A1RGBFSHRT"
)

// pagesToCopyFrom are the pages with the YAML that the suite applies.
var pagesToCopyFrom = []string{"README.md", "docs/guides/install.md", "docs/guides/templates.md", "docs/guides/grants.md"}

// page returns the text of a page, by its path in the repository.
func page(path string) string {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(with.Repository, filepath.FromSlash(path)))
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// fence matches a YAML block of a page. A block inside a list is indented.
var fence = regexp.MustCompile("(?ms)^( *)```yaml\n(.*?)^ *```$")

// publishedBlocks returns the YAML blocks of the README and of the guides that users copy from.
func publishedBlocks() []string {
	GinkgoHelper()
	var blocks []string
	for _, path := range pagesToCopyFrom {
		found := fence.FindAllStringSubmatch(page(path), -1)
		Expect(found).NotTo(BeEmpty(), path)
		for _, block := range found {
			blocks = append(blocks, regexp.MustCompile("(?m)^"+block[1]).ReplaceAllString(block[2], ""))
		}
	}
	return blocks
}

// sampleFiles returns the files in config/samples that match a pattern, by name.
func sampleFiles(pattern string) map[string]string {
	GinkgoHelper()
	paths, err := filepath.Glob(filepath.Join(with.Repository, "config", "samples", pattern))
	Expect(err).NotTo(HaveOccurred())
	Expect(paths).NotTo(BeEmpty(), pattern)
	files := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		files[filepath.Base(path)] = string(text)
	}
	return files
}

// sampleFile returns a single file in config/samples.
func sampleFile(name string) string {
	GinkgoHelper()
	return sampleFiles(name)[name]
}

// header has the fields that every object starts with.
type header struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
}

func headerOf(text string) header {
	GinkgoHelper()
	var h header
	Expect(yaml.Unmarshal([]byte(text), &h)).To(Succeed(), text)
	return h
}

// ofKind returns the texts that are objects of this kind.
func ofKind(texts []string, kind string) []string {
	GinkgoHelper()
	var found []string
	for _, text := range texts {
		if headerOf(text).Kind == kind {
			found = append(found, text)
		}
	}
	return found
}

// publishedOverlay replaces the values that users change in the published YAML: the namespace,
// the user and the organization.
const publishedOverlay = `
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: %[1]s
resources: [published.yaml]
patches:
- target: {kind: PipesToken}
  patch: |
    - {op: replace, path: /spec/userID, value: %[2]s}
    - {op: replace, path: /spec/organizationID, value: %[3]s}
`

// proxyPatch is the patch for users who reach GitHub through a proxy that decrypts TLS. It adds
// the CA of the proxy, and for this test also its address.
const proxyPatch = `
- target: {kind: Pod, name: agent-alice-(curl|git|gh)}
  patch: |
    - {op: add, path: /spec/hostAliases, value: [{ip: "%s", hostnames: [github.com, api.github.com]}]}
    - {op: add, path: /spec/volumes/-, value: {name: ca, configMap: {name: ca}}}
    - op: add
      path: /spec/containers/0/volumeMounts/-
      value: {name: ca, mountPath: /etc/ssl/certs/ca-certificates.crt, subPath: ca.crt}
`

// applyPublished applies published YAML with the overlay for a connection and with more patches.
func applyPublished(texts []string, namespace string, c connection, patches ...string) {
	GinkgoHelper()
	folder := GinkgoT().TempDir()
	overlay := fmt.Sprintf(publishedOverlay, namespace, c.UserID, c.OrganizationID) + strings.Join(patches, "")
	Expect(os.WriteFile(filepath.Join(folder, "published.yaml"), []byte(strings.Join(texts, "\n---\n")), 0o600)).To(Succeed())
	Expect(os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(overlay), 0o600)).To(Succeed())
	kubectl("apply", "--kustomize="+folder, "--warnings-as-errors")
}

var _ = Describe("The YAML that people copy", func() {
	It("is accepted by the API server, without a warning", func() {
		namespace := newNamespace()
		accepted := func(text string) error {
			_, err := tryKubectl(strings.ReplaceAll(text, "namespace: "+publishedNamespace, "namespace: "+namespace),
				"apply", "--dry-run=server", "--warnings-as-errors", "--filename=-")
			return err
		}
		for _, block := range publishedBlocks() {
			if headerOf(block).Kind == "Kustomization" {
				block = builtFromTheGuide(block)
			}
			Expect(accepted(block)).To(Succeed(), block)
		}
		samples := kubectl("kustomize", filepath.Join(with.Repository, "config", "samples"))
		Expect(accepted(samples)).To(Succeed())

		By("seeing that it could have been refused")
		Expect(accepted(strings.ReplaceAll(samples, "runAsNonRoot: true", "runAsNonRoot: false"))).
			To(MatchError(ContainSubstring("violates PodSecurity")))
		Expect(accepted(strings.ReplaceAll(samples, "secretTemplate:", "template:"))).
			To(MatchError(ContainSubstring(`unknown field "spec.template"`)))
	})

	It("is all of config/samples, and the README and the guides show the same PipesTokens", func() {
		files := sampleFiles("*.yaml")
		var kustomization struct {
			Resources []string `json:"resources"`
		}
		Expect(yaml.Unmarshal([]byte(files["kustomization.yaml"]), &kustomization)).To(Succeed())
		delete(files, "kustomization.yaml")
		Expect(kustomization.Resources).To(ConsistOf(slices.Collect(maps.Keys(files))))

		Expect(objects(ofKind(publishedBlocks(), "PipesToken"))).
			To(ConsistOf(objects(ofKind(slices.Collect(maps.Values(files)), "PipesToken"))))
	})
})

// builtFromTheGuide builds the overlay that docs/guides/install.md shows for
// deploy/kustomization.yaml. It removes the ServiceMonitor, because the cluster does not have the
// CRD of the Prometheus operator.
func builtFromTheGuide(kustomization string) string {
	GinkgoHelper()
	root := GinkgoT().TempDir()
	Expect(os.CopyFS(filepath.Join(root, "config"), os.DirFS(filepath.Join(with.Repository, "config")))).To(Succeed())
	Expect(os.Mkdir(filepath.Join(root, "deploy"), 0o750)).To(Succeed())
	Expect(os.WriteFile(filepath.Join(root, "deploy", "kustomization.yaml"), []byte(kustomization), 0o600)).To(Succeed())
	built := strings.Split(kubectl("kustomize", filepath.Join(root, "deploy")), "\n---\n")
	kept := slices.DeleteFunc(slices.Clone(built), func(text string) bool { return headerOf(text).Kind == "ServiceMonitor" })
	Expect(kept).To(HaveLen(len(built)-1), fmt.Sprintf("without the ServiceMonitor, of %d objects", len(built)))
	return strings.Join(kept, "\n---\n")
}

// objects parses the texts, so that comments and style do not matter in a comparison.
func objects(texts []string) []unstructured.Unstructured {
	GinkgoHelper()
	var parsed []unstructured.Unstructured
	for _, text := range texts {
		var object unstructured.Unstructured
		Expect(yaml.Unmarshal([]byte(text), &object.Object)).To(Succeed(), text)
		parsed = append(parsed, object)
	}
	return parsed
}

var _ = Describe("The README and the guides", func() {
	It("lead to a pod that reads its token", func() {
		namespace, c := newNamespace(), connect()
		// The connection is one of a user.
		blocks := slices.DeleteFunc(publishedBlocks(), func(block string) bool { return strings.Contains(block, "connectionOwner: Organization") })
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
