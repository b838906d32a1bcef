package pipestoken

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// An answer for one PipesToken shows something about its own connection, and about connections
// with the same slug and environment. It shows nothing about any other connection.
func TestLeadsAreLearnedForTheConnectionAndForTheSlug(t *testing.T) {
	h := &leads{}
	same, another := redact.NewString("the same"), redact.NewString("another")
	seen := healthy()
	seen.secret.Facts.TokenHash = tokensecret.HashToken(string(seen.token.UID), same)
	answered := func(left time.Duration, value redact.String) {
		seen.now = seen.secret.Facts.ExpiresAt.Add(-left)
		seen.last.lead, seen.slug = h.learn(seen, workos.Token{Value: value})
	}
	if answered(40*time.Second, same); seen.last.lead.Known {
		t.Errorf("a refusal alone tells %+v", seen.last.lead)
	}
	for range 2 {
		answered(20*time.Second, another)
	}
	if lead, known := seen.last.lead.Lead(); !known || lead != 20*time.Second {
		t.Errorf("this connection: %v, %v, want 20s", lead, known)
	}
	if lead, known := h.of(leadKeyOf(seen)).Lead(); !known || lead != 20*time.Second {
		t.Errorf("its slug: %v, %v, want 20s", lead, known)
	}

	neighbour := healthy()
	neighbour.origin.name = seen.origin.name
	if lead, known := h.of(leadKeyOf(neighbour)).Lead(); !known || lead != 20*time.Second {
		t.Errorf("another connection of the slug: %v, %v, want 20s", lead, known)
	}
	neighbour.token.Spec.Slug = "slack"
	if known := h.of(leadKeyOf(neighbour)); known != (slugLead{}) {
		t.Errorf("another slug: %+v", known)
	}
	neighbour.token.Spec.Slug, neighbour.origin.name.Name = seen.token.Spec.Slug, "another"
	if known := h.of(leadKeyOf(neighbour)); known != (slugLead{}) {
		t.Errorf("another environment: %+v", known)
	}
}

// A process that has just started uses the lead that is stored in the Secret, beside the token.
func TestEstimateIsRecalledFromTheSecret(t *testing.T) {
	r, seen := &Reconciler{}, healthy()
	seen.secret.Facts.UpstreamLead = ptr.To(50 * time.Second)
	if lead, known := r.recall(seen).lead.Lead(); !known || lead != 50*time.Second {
		t.Errorf("got %v, %v, want 50s", lead, known)
	}
	seen.token.UID, seen.secret.Facts.UpstreamLead = "another", nil
	if lead := r.recall(seen).lead; lead != (renewal.Estimate{}) {
		t.Errorf("got %+v of a Secret that tells nothing", lead)
	}
}

// A renewal was already due when a process started. If other tokens of the slug were obtained
// after that renewal was due, the previous process has asked for it without success. Then it
// waits for the lead that is known of the slug; otherwise no process has asked, and it does not
// wait.
func TestWhatWasAskedInVainWaitsForWhenOthersAreReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*observation)
		waits  bool
	}{
		"others have got a token since":                 {func(*observation) {}, true},
		"no other has":                                  {func(o *observation) { o.slug.lastObtained = noon }, false},
		"others have got one just then":                 {func(o *observation) { o.slug.lastObtained = o.nextDue().Add(5 * time.Second) }, false},
		"nothing is known of the slug":                  {func(o *observation) { o.slug.Estimate = renewal.Estimate{} }, false},
		"those like it are replaced earlier":            {func(o *observation) { o.slug.Granted = 5 * time.Minute }, false},
		"it has been looked at before that was due":     {func(o *observation) { o.last.state = noAttempt }, false},
		"what others get is not what this one has seen": {func(o *observation) { o.last.lead = renewal.Estimate{Known: true, Granted: 6 * time.Minute} }, false},
	} {
		t.Run(name, func(t *testing.T) {
			seen := healthy()
			seen.now = noon.Add(56 * time.Minute)
			seen.last.state = awaitingTurn
			seen.slug = slugLead{
				Estimate: renewal.Estimate{Known: true, Granted: time.Minute, Trust: renewal.MaxTrust}, lastObtained: noon.Add(55 * time.Minute),
			}
			test.change(&seen)
			due, turn := seen.nextDue(), seen.inTurn(seen.last)
			if due.Before(noon.Add(48*time.Minute)) || due.After(noon.Add(52*time.Minute)) {
				t.Fatalf("the case is not as it says: due at %s", due)
			}
			if turn.state == awaitingTurn {
				t.Error("it has another turn")
			}
			if left := seen.secret.Facts.ExpiresAt.Sub(turn.schedule.renewNotBefore); test.waits && (left < 47*time.Second || left > time.Minute) {
				t.Errorf("it waits until %s before the expiry, want 48s to 1m", left)
			}
			if !test.waits && turn.schedule.renewNotBefore.After(seen.now) {
				t.Errorf("it waits until %s", turn.schedule.renewNotBefore)
			}
		})
	}
}

func TestWhatOthersFoundIsTheLatest(t *testing.T) {
	h, seen := &leads{}, healthy()
	// The last time comes from a clock that was ahead.
	for _, obtained := range []time.Time{noon.Add(-time.Minute), noon, noon.Add(-time.Hour), seen.now.Add(time.Hour)} {
		seen.secret.Facts.ObtainedAt = obtained
		h.inherit(seen)
	}
	seen.secret.State, seen.secret.Facts.ObtainedAt = tokensecret.Altered, seen.now
	h.inherit(seen)
	if found := h.of(leadKeyOf(seen)).lastObtained; !found.Equal(noon) {
		t.Errorf("got %s, want noon", found)
	}
}

// Tenants choose slugs. So what is known of slugs is bounded, and many slugs of one environment
// must not displace those of another.
func TestLeadsAreBounded(t *testing.T) {
	h := &leads{}
	note := func(environment, slug string) {
		seen := healthy()
		seen.origin.name.Name, seen.token.Spec.Slug = environment, slug
		h.inherit(seen)
	}
	note("quiet", "github")
	for n := range 3 * maxLeadsEach {
		note("noisy", fmt.Sprint("slug-", n))
		note("noisy", "in-use")
	}
	if got := len(h.entries); got != maxLeadsEach+1 {
		t.Errorf("%d slugs are known, want %d", got, maxLeadsEach+1)
	}
	for _, key := range []leadKey{keyOf("quiet", "github"), keyOf("noisy", "in-use")} {
		if _, known := h.entries[key]; !known {
			t.Errorf("%v has been forgotten", key)
		}
	}
	for environment := range 2 * maxLeads / maxLeadsEach {
		for n := range maxLeadsEach {
			note(fmt.Sprint("environment-", environment), fmt.Sprint("slug-", n))
		}
	}
	if got := len(h.entries); got != maxLeads {
		t.Errorf("%d slugs are known, want %d", got, maxLeads)
	}
}

func keyOf(environment, slug string) leadKey {
	seen := healthy()
	seen.origin.name.Name, seen.token.Spec.Slug = environment, slug
	return leadKeyOf(seen)
}
