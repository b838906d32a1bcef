//go:build reliability

package tenancy_test

import (
	"fmt"
	"runtime/metrics"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// Limits on what the operator may spend on a PipesToken with a bad template, from its creation to
// its condition. They allow for a busy machine, the race detector, and everything that the tests
// and the API clients do at the same time.
const (
	patience = 10 * time.Second
	appetite = 64 << 20
)

// withTemplate returns a PipesToken with this template, under that many keys.
func (w *world) withTemplate(template string, keys int) *unstructured.Unstructured {
	GinkgoHelper()
	token := w.pipesToken("mine", `{}`)
	data := map[string]any{}
	for i := range keys {
		data[fmt.Sprintf("k%d", i)] = template
	}
	Expect(unstructured.SetNestedField(token.Object, map[string]any{"data": data}, "spec", "secretTemplate")).To(Succeed())
	return token
}

// mostKeys is how many keys with this template fit into a secretTemplate: at most 16, and 64 KiB
// in all.
func mostKeys(template string) int { return min(16, 64<<10/(len("k15")+len(template))) }

// frugally expects that do takes little time, and allocates little memory in total.
func frugally(do func()) {
	GinkgoHelper()
	start, before := time.Now(), allocated()
	do()
	Expect(time.Since(start)).To(BeNumerically("<", patience))
	Expect(allocated()-before).To(BeNumerically("<", appetite), "bytes allocated")
}

// allocated is how many bytes this process has allocated since it started.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

var _ = DescribeTable("A template", func(template, says string) {
	w := newWorld(one)
	token := w.withTemplate(template, 1)
	w.connect(token)
	frugally(func() {
		w.refused(byCondition(v1alpha1.InvalidTemplateReason, says), w.creating(w.editor, token))
	})
},
	attack("T13", "with a loop", `{{ range .Scopes }}{{ . }}{{ end }}`, `is not allowed`),
	attack("T13", "with a loop over a number", `{{ range 1000000000 }}x{{ end }}`, `is not allowed`),
	attack("T13", "with a loop in a branch that is not taken", `{{ if false }}{{ range .Scopes }}{{ end }}{{ end }}`, `is not allowed`),
	attack("T13", "that calls itself", `{{ define "a" }}{{ template "a" }}{{ end }}{{ template "a" }}`, `define and block are not allowed`),
	attack("T13", "that calls itself by its key", `{{ template "k0" . }}`, `is not allowed`),
	attack("T13", "with a block", `{{ block "a" . }}{{ end }}`, `define and block are not allowed`),
	attack("T13", "with a break", `{{ break }}`, `break`),
	attack("T13", "with printf", `{{ printf "%1000000000d" 1 }}`, `function "printf" is not allowed`),
	attack("T13", "with print", `{{ print .AccessToken }}`, `function "print" is not allowed`),
	attack("T13", "with println", `{{ println .AccessToken }}`, `function "println" is not allowed`),
	attack("T13", "with html", `{{ html .AccessToken }}`, `function "html" is not allowed`),
	attack("T13", "with js", `{{ js .AccessToken }}`, `function "js" is not allowed`),
	attack("T13", "with index", `{{ index .AccessToken 0 }}`, "index takes .Metadata or .Config and a name, or .Scopes and a number"),
	attack("T13", "with slice", `{{ slice .AccessToken 0 4 }}`, `function "slice" is not allowed`),
	attack("T13", "with call", `{{ call .AccessToken }}`, `function "call" is not allowed`),
	attack("T13", "with len", `{{ len .AccessToken }}`, `function "len" is not allowed`),
	attack("T13", "with a comparison", `{{ if eq .AccessToken "a" }}{{ end }}`, `function "eq" is not allowed`),
	attack("T13", "that reads the environment", `{{ env "HOME" }}`, `function "env" not defined`),
	attack("T13", "that reads a file", `{{ readFile "/var/run/secrets/kubernetes.io/serviceaccount/token" }}`, `function "readFile" not defined`),
	attack("T13", "that reads another Secret", `{{ lookup "v1" "Secret" "pipes-system" "workos-api-key" }}`, `function "lookup" not defined`),
	attack("T13", "that includes another", `{{ include "a" . }}`, `function "include" not defined`),
	attack("T13", "that asks for the API key", `{{ .APIKey }}`, `there is no .APIKey`),
	attack("T13", "that asks the token for more", `{{ .AccessToken.Reveal }}`, `there is no .AccessToken.Reveal`),
	attack("T13", "that calls a method of a list", `{{ .Scopes.Len }}`, `there is no .Scopes.Len`),
	attack("T13", "that calls a method in parentheses", `{{ (.ExpiresAt).Format "x" }}`, `there is no .Format`),
	attack("T13", "that calls a method by a variable", `{{ $x := .AccessToken }}{{ $x.Reveal }}`, `there is no .Reveal`),
	attack("T13", "that asks for what is in with", `{{ with .AccessToken }}{{ .Reveal }}{{ end }}`, `there is no .Reveal`),
	attack("T13", "that does so when there is nothing", `{{ with .OrganizationID }}{{ else }}{{ .Nothing }}{{ end }}`, `there is no .Nothing`),
	attack("T13", "that grows by encoding", `{{ .AccessToken`+strings.Repeat(" | b64enc", 100)+` }}`, `longer than 61440 bytes`),
	attack("T13", "that grows by quoting", `{{ .AccessToken`+strings.Repeat(" | quote", 100)+` }}`, `longer than 61440 bytes`),
	attack("T13", "that grows by writing JSON", `{{ "<" `+strings.Repeat(" | toJson", 100)+` }}`, `longer than 61440 bytes`),
	attack("T13", "that joins with much", `{{ join "`+strings.Repeat("x", 8000)+`" .Slug }}`, `k0`),
	attack("T13", "that writes much, piece by piece", strings.Repeat(`{{ . }}`, 1100), `longer than 61440 bytes`),
	attack("T13", "that is too deep in parentheses", `{{ `+strings.Repeat("(", 8000)+` }}`, `Cannot use the template`),
	attack("T13", "that does not end", `{{ .AccessToken`, `Cannot use the template`),
	attack("T13", "that opens much", strings.Repeat(`{{ if 1 }}`, 800), `unexpected EOF`),
	attack("T13", "with other delimiters in a comment", `{{/* {{ */}} {{ .Nothing }}`, `there is no .Nothing`),
)

var _ = DescribeTable("A template that is large", func(template string, keys int, says string) {
	frugally(func() {
		common.refused(byAPIServer(says), common.creating(common.editor, common.withTemplate(template, keys)))
	})
},
	attack("T13", "by 1 MiB of actions", strings.Repeat(`{{ .Slug }}`, 1<<20/len(`{{ .Slug }}`)), 1, `Too long`),
	attack("T13", "by one character", strings.Repeat("x", 8193), 1, `Too long`),
	attack("T13", "by its keys", `x`, 17, `Too many`),
)

var _ = DescribeTable("A template that may be used, at its limits", func(template string) {
	w := newWorld(one)
	token := w.withTemplate(template, mostKeys(template))
	w.connect(token)
	frugally(func() {
		Expect(w.editor.Create(w.ctx, token)).To(Succeed())
		w.expectReady(token, v1alpha1.TokenSyncedReason, "")
	})
},
	attack("T13", "text alone", strings.Repeat("x", 8192)),
	attack("T13", "text alone, under as many keys as there may be", strings.Repeat("x", 4093)),
	attack("T13", "as many actions as fit", strings.Repeat(`{{1}}`, 8192/len(`{{1}}`))),
	attack("T13", "as deep as fits", strings.Repeat(`{{if 1}}`, 500)+strings.Repeat(`{{end}}`, 500)),
	attack("T13", "as deep as fits in parentheses", `{{`+strings.Repeat("(", 4000)+`1`+strings.Repeat(")", 4000)+`}}`),
	attack("T13", "as many variables as fit", strings.Repeat(`{{$x := .Slug}}`, 540)),
)

// Attack: each of these templates keeps all limits on one value, but processes a large value
// again and again. The tenant needs no grant, because templates are parsed before grants are
// checked.
var _ = DescribeTable("A template that works a lot and writes little", func(work string) {
	w := newWorld(nothing)
	large := `{{ $x := b64enc .AccessToken` + strings.Repeat(" | b64enc", 27) + ` }}`
	template := large + strings.Repeat(work, (8192-len(large))/len(work))
	token := w.withTemplate(template, mostKeys(template))
	frugally(func() {
		w.refused(byCondition(v1alpha1.NotGrantedReason, ""), w.creating(w.editor, token))
	})
},
	attack("T13", "by encoding", `{{$y:=b64enc $x}}`),
	attack("T13", "by quoting", `{{$y:=$x|quote|quote|quote}}`),
	attack("T13", "by escaping", `{{$y:=$x`+strings.Repeat("|urlquery", 10)+`}}`),
)
