//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
var pagesToCopyFrom = []string{"README.md", "docs/guides/install.md", "docs/guides/templates.md"}

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
