package controllers

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// A process that has just started knows of a slug what the youngest Secret says, until it has learned something itself.
func TestHabitsAreRecalledFromSecrets(t *testing.T) {
	lead := func(obtained time.Duration, lead *time.Duration) tokensecret.Facts {
		return tokensecret.Facts{ObtainedAt: noon.Add(obtained), ExpiresAt: noon.Add(obtained + time.Hour), UpstreamLead: lead}
	}
	github := habitKey{environment: types.NamespacedName{Namespace: "pipes-system", Name: "default"}, slug: "github"}
	slack := habitKey{environment: github.environment, slug: "slack"}
	h := &habits{}
	for i, step := range []struct {
		key   habitKey
		facts tokensecret.Facts
		want  *time.Duration
	}{
		{github, lead(0, nil), nil},
		{github, lead(time.Minute, ptr.To(60*time.Second)), ptr.To(60 * time.Second)},
		{slack, lead(0, nil), nil},
		{github, lead(0, ptr.To(10*time.Second)), ptr.To(60 * time.Second)},
		{github, lead(2*time.Minute, ptr.To(50*time.Second)), ptr.To(50 * time.Second)},
		{github, lead(3*time.Minute, nil), ptr.To(50 * time.Second)},
	} {
		known, ok := h.recall(step.key, step.facts).Lead()
		if ok != (step.want != nil) || ok && known != *step.want {
			t.Errorf("step %d: got %v, %v", i, known, ok)
		}
	}

	seen := healthy()
	seen.now = seen.secret.Facts.ExpiresAt.Add(-40 * time.Second)
	same := redact.NewString("the same")
	seen.secret.Facts.TokenHash = tokensecret.HashToken("uid", same)
	if _, known := h.learn(seen, workos.Token{Value: same}).Lead(); known {
		t.Error("a refusal at 40 s leaves 50 s known to work")
	}
	if _, known := h.recall(github, lead(10*time.Minute, ptr.To(50*time.Second))).Lead(); known {
		t.Error("a Secret outweighs what this process has learned since")
	}
	seen.now = seen.now.Add(20 * time.Second)
	if known, ok := h.learn(seen, workos.Token{Value: redact.NewString("another")}).Lead(); !ok || known != 20*time.Second {
		t.Errorf("got %v, %v, want 20s", known, ok)
	}
}
