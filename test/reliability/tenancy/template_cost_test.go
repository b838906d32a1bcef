//go:build reliability

package tenancy_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
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
