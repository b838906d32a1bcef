package pipestoken

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	k8sjson "sigs.k8s.io/json"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/compact"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/grants"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/refresh"
	"github.com/pipes-operator/pipes-operator/internal/renewal"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

const (
	// fuzzToken is the token that WorkOS returns. It is in no input, and must not be in any
	// output.
	fuzzToken = "canary_token_5up3r_s3cr3t"
	// longestNote is the longest note of an event that the API server accepts.
	longestNote = 1024
	// patience is how long the reconciles of one input may take. Most take milliseconds, but the
	// machine may be busy.
	patience = 10 * time.Second
)

// FuzzPass combines a PipesToken that an API server may have stored, under this CRD or an older
// CRD, with a Secret, a PipesEnvironment and an answer of WorkOS of every kind. After some
// reconciles its status must be acceptable to the API server and must not contain the token, and
// the object must be requeued.
func FuzzPass(f *testing.F) {
	f.Add([]byte(`{"metadata":{"name":"alice","namespace":"agents","uid":"uid"},"spec":{"slug":"github","userID":"user_1"}}`),
		"No such integration.", "repo", int64(3600), []byte("choices"))
	f.Fuzz(func(t *testing.T, object []byte, message, scope string, lifetime int64, choices []byte) {
		token := &v1alpha1.PipesToken{}
		if err := k8sjson.UnmarshalCaseSensitivePreserveInts(object, token); err != nil || strings.Contains(string(object), "canary") {
			return
		}
		defer time.AfterFunc(patience, func() { panic("a pass goes on for ever") }).Stop()
		p := &passes{T: t, token: token, now: noon, choices: choices}
		if p.inherited = p.below(2) == 1; !p.inherited {
			token.Status = v1alpha1.PipesTokenStatus{}
		}
		p.stored = p.storedSecret()
		for range 4 {
			p.make(p.answer(message, scope, lifetime))
		}
	})
}

// passes are consecutive reconciles of one PipesToken.
type passes struct {
	*testing.T
	reconciler Reconciler
	token      *v1alpha1.PipesToken
	now        time.Time
	// stored is the metadata of the Secret; nil if it does not exist.
	stored *metav1.PartialObjectMetadata
	// inherited: the first reconcile finds a status from the input. The parts that it keeps are
	// not checked.
	inherited bool
	// choices are consumed byte by byte. If none is left, each choice is the first alternative.
	choices []byte
}

func (p *passes) below(n int) int {
	if len(p.choices) == 0 {
		return 0
	}
	choice := int(p.choices[0]) % n
	p.choices = p.choices[1:]
	return choice
}

// make does the work of Reconcile without a client: its input is in memory, and its writes are
// checked and kept.
func (p *passes) make(answer workos.Answer) {
	seen := p.observe()
	decided := decide(seen)
	done := outcomeOf(seen, decided.finding)
	switch decided.action {
	case fetch:
		if decided.cause == "" {
			p.Error("a fetch without a cause")
		}
		p.fetch(&done, answer)
	case withdraw:
		p.clear(&done)
	case relabel:
		if _, err := seen.secret.MetadataPatch(p.token); err != nil {
			p.Error(err)
		}
	case wait:
	}
	p.report(done)
}

func (p *passes) observe() observation {
	seen := observation{now: p.now, token: p.token, origin: origin{name: p.reconciler.environmentOf(p.token)}}
	seen.template, seen.templateErr = tokensecret.Compile(p.token.Spec)
	if seen.origin.environment = p.environment(); seen.origin.environment != nil {
		seen.origin.granted = grants.Allowed(seen.origin.environment, grants.Claim{
			Namespace: p.token.Namespace, Slug: p.token.Spec.Slug, UserID: p.token.Spec.UserID, OrganizationID: p.token.Spec.OrganizationID,
		})
	}
	seen.secret = tokensecret.Observe(p.stored, p.token, seen.template)
	return seen.remembering(p.reconciler.recall(seen))
}

// environment returns a PipesEnvironment that grants everything or nothing, or nil.
func (p *passes) environment() *v1alpha1.PipesEnvironment {
	environment := &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: "pipes-system", Name: "default"}}
	switch p.below(6) {
	case 1:
		return nil
	case 2:
		return environment
	default:
		environment.Spec.Grants = []v1alpha1.Grant{{
			Namespaces: v1alpha1.GrantNamespaces{Names: []string{v1alpha1.AllNamespaces}},
			Slugs:      []string{v1alpha1.Any}, OrganizationIDs: []string{v1alpha1.Any}, UserIDs: []string{v1alpha1.Any},
		}}
		return environment
	}
}

// storedSecret returns nil, or a Secret as the operator wrote it, or a Secret that somebody has
// changed.
func (p *passes) storedSecret() *metav1.PartialObjectMetadata {
	facts := tokensecret.Facts{ObtainedAt: p.now.Add(-50 * time.Minute), ExpiresAt: p.now.Add(10 * time.Minute), TemplateHash: "old", TokenHash: "hash"}
	if template, err := tokensecret.Compile(p.token.Spec); err == nil {
		facts.TemplateHash = template.Hash()
	}
	stored := secretOf(p.token, tokensecret.Content{Facts: facts, Data: map[string][]byte{
		tokensecret.AccessTokenKey: nil, tokensecret.ExpiresAtKey: nil, tokensecret.ScopesKey: nil,
	}})
	switch p.below(6) {
	case 0:
		return nil
	case 1:
		stored.OwnerReferences = nil
	case 2:
		stored.OwnerReferences[0].UID = "somebody else's"
	case 3:
		stored.ManagedFields = nil
	case 4:
		stored.Annotations, stored.ManagedFields = nil, nil
	}
	return stored
}

// secretOf returns the metadata of the Secret just after we have written content.
func secretOf(token *v1alpha1.PipesToken, content tokensecret.Content) *metav1.PartialObjectMetadata {
	secret := tokensecret.New(token, content)
	fields := func(keys []string) map[string]any {
		set := map[string]any{}
		for _, key := range keys {
			set["f:"+key] = struct{}{}
		}
		return set
	}
	owned, err := json.Marshal(map[string]any{
		"f:data":     fields(slices.Collect(maps.Keys(content.Data))),
		"f:metadata": map[string]any{"f:annotations": fields(slices.Collect(maps.Keys(secret.Annotations)))},
	})
	if err != nil {
		panic(err)
	}
	secret.ResourceVersion = "1"
	secret.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: tokensecret.FieldManager, FieldsV1: metav1.NewFieldsV1(string(owned))}}
	return &metav1.PartialObjectMetadata{ObjectMeta: secret.ObjectMeta}
}

// answer returns an answer as package workos gives them, within the bounds that the package
// promises.
func (p *passes) answer(message, scope string, lifetime int64) workos.Answer {
	answer := workos.Answer{
		Outcome: workos.Outcomes()[p.below(len(workos.Outcomes()))], Message: conditions.Printable(message), Sent: p.below(4) > 0,
		RetryAfter: []time.Duration{0, 0, time.Millisecond, time.Hour}[p.below(4)],
	}
	if answer.Outcome == workos.OutcomeToken {
		answer.Message, answer.Sent = "", true
		answer.Token = workos.Token{Value: redact.NewString(fuzzToken)}
		if expires := p.now.Add(time.Duration(lifetime % (1 << 34) * int64(time.Second))); expires.Year() < 9999 && expires.Unix() > 0 && lifetime != 0 {
			answer.Token.ExpiresAt = expires
		}
		if scope = conditions.Printable(scope); scope != "" {
			answer.Token.Scopes, answer.Token.MissingScopes = []string{scope}, []string{scope, scope}
		}
	}
	if answer.Sent {
		answer.RequestID = "req_" + strings.Repeat("x", p.below(120))
	}
	return answer
}

func (p *passes) fetch(done *outcome, answer workos.Answer) {
	done.attempted, done.call = true, call{answer: answer, request: refresh.Request(done.seen.token)}
	done.repaired = done.secret.State != tokensecret.Intact && done.seen.last.left.intact
	judged := judge(done.after(), answer)
	done.finding = judged.finding
	switch {
	case judged.write:
		p.write(done, judged.content)
	case traits[judged.finding.Reason].withdraws:
		p.clear(done)
	}
}

// write succeeds, is refused, or finds that the Secret has changed.
func (p *passes) write(done *outcome, content tokensecret.Content) {
	if done.secret.State != tokensecret.Absent {
		if patch, err := done.secret.WritePatch(p.token, content); err != nil || !json.Valid(patch) {
			p.Errorf("%v with %s", err, patch)
		}
	}
	switch p.below(4) {
	case 2:
		refused := errors.New("no: " + string(content.Data[tokensecret.AccessTokenKey]))
		done.finding = writeFailure("write", refused, done.quotes)
	case 1:
		done.unfinished, done.finding = errors.New("too late"), done.seen.standing
	default:
		p.stored = secretOf(p.token, content)
		done.secret = tokensecret.Observe(p.stored, p.token, done.seen.template)
		if done.secret.State != tokensecret.Intact {
			p.Errorf("just written, the Secret is %s", done.secret.State)
		}
	}
}

// clear applies the default inactivePolicy.
func (p *passes) clear(done *outcome) {
	if !done.secret.IsOurs() {
		return
	}
	if patch, err := done.secret.ClearPatch(p.token); err != nil || !json.Valid(patch) {
		p.Errorf("%v with %s", err, patch)
	}
	emptied := p.stored.DeepCopy()
	emptied.Annotations, emptied.ManagedFields = nil, nil
	p.stored = emptied
	done.secret = tokensecret.Observe(emptied, p.token, done.seen.template)
}

// report does the work of the reconciler's report, and checks everything that is promised about
// it.
func (p *passes) report(done outcome) {
	status := statusOf(done)
	next := nextAttempt(done, status, 0)
	p.reconciler.memory.remember(done.seen.token, next)
	after := renewal.Wait(done.seen.now, attemptDue(done, next), done.expiry(), done.doubt())
	if after <= 0 || after > 30*time.Minute {
		p.Errorf("comes back after %v", after)
	}
	p.expectStatus(status)
	recorder := &notes{T: p.T}
	(&Reconciler{Recorder: recorder}).announce(p.token, status)
	shown, err := json.Marshal([]any{status, statusConfiguration(p.token, status), recorder.text, fmt.Sprintf("%v %+v", done.finding, next)})
	if err != nil || strings.Contains(string(shown), fuzzToken) || strings.Contains(fmt.Sprintf("%+v %#v", done.call.answer, done.finding), fuzzToken) {
		p.Errorf("%v, or the token is shown: %s", err, shown)
	}
	p.token.Status, done.seen.token.Status = status, status
	if again := statusOf(done); !compact.SameStatus(again, status) {
		p.Errorf("the same pass again would write the status again: %+v, %+v", status, again)
	}
	p.now = p.now.Add(after)
}

var conditionReason = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// expectStatus checks that the API server would accept the status, and that a user can read it.
func (p *passes) expectStatus(status v1alpha1.PipesTokenStatus) {
	marks := 0
	for i, c := range status.Conditions {
		if slices.ContainsFunc(status.Conditions[:i], func(other metav1.Condition) bool { return other.Type == c.Type }) {
			p.Errorf("two conditions %s", c.Type)
		}
		if !p.inherited && (!conditionReason.MatchString(c.Reason) || c.Message == "" || c.LastTransitionTime.IsZero()) {
			p.Errorf("the API server refuses %+v", c)
		}
		if c.Type == v1alpha1.StalledCondition || c.Type == v1alpha1.ReconcilingCondition {
			marks++
		}
		if !p.inherited && len(c.Message) > p.longestOf() {
			p.Errorf("the message of %s has %d bytes", c.Type, len(c.Message))
		}
	}
	ready := conditions.Ready(status.Conditions)
	if ready.Type == "" || marks > 1 || marks == 1 && ready.Status == metav1.ConditionTrue {
		p.Errorf("%d marks beside %+v", marks, ready)
	}
}

// longestOf is the longest allowed message for this object: a sentence of ours, 256 characters of
// somebody else's text, and the names that the message quotes. Within the bounds of the CRD this
// is much less than the API server accepts.
func (p *passes) longestOf() int {
	spec := p.token.Spec
	names := fmt.Sprintf("%q %q %q %q %q %q", spec.Slug, spec.UserID, spec.OrganizationID, spec.SecretName, p.token.Name, p.token.Namespace)
	if spec.EnvironmentRef != nil {
		names += fmt.Sprintf("%q %q", spec.EnvironmentRef.Name, spec.EnvironmentRef.Namespace)
	}
	return 1024 + 4*256 + len(names)
}

// notes receives events.
type notes struct {
	*testing.T
	text []string
}

func (n *notes) Eventf(_, _ runtime.Object, _, reason, action, note string, args ...any) {
	text := fmt.Sprintf(note, args...)
	if reason == "" || action == "" || len(text) > longestNote {
		n.Errorf("the API server refuses event %q, %q, %q", reason, action, text)
	}
	n.text = append(n.text, text)
}
