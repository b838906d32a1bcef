//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

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
