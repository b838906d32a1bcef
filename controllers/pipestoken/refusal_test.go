package pipestoken

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/finding"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

func refusal(code int32, reason metav1.StatusReason, message string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: code, Reason: reason, Message: message}}
}

var secretKind = schema.GroupResource{Resource: "secrets"}

// A webhook can refuse with any status code. Only the message shows that it was a webhook.
func TestWhatAnErrorOfAWriteMeans(t *testing.T) {
	denied := func(code int32, reason metav1.StatusReason) error {
		return refusal(code, reason, `admission webhook "strict.example.com" denied the request: no`)
	}
	for name, test := range map[string]struct {
		err     error
		movedOn bool
		reason  string
	}{
		"a conflict":                      {apierrors.NewConflict(secretKind, "alice", errors.New("modified")), true, ""},
		"a Secret that is gone":           {apierrors.NewNotFound(secretKind, "alice"), true, ""},
		"a namespace that is gone":        {refusalOf(apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "agents")), false, v1alpha1.SecretNotWrittenReason},
		"a webhook's 409":                 {denied(http.StatusConflict, metav1.StatusReasonConflict), false, v1alpha1.SecretRejectedReason},
		"a webhook's 404":                 {denied(http.StatusNotFound, metav1.StatusReasonNotFound), false, v1alpha1.SecretRejectedReason},
		"a webhook's 500":                 {denied(http.StatusInternalServerError, metav1.StatusReasonInternalError), false, v1alpha1.SecretRejectedReason},
		"a webhook's 429":                 {denied(http.StatusTooManyRequests, metav1.StatusReasonTooManyRequests), false, v1alpha1.SecretRejectedReason},
		"a quota":                         {apierrors.NewForbidden(secretKind, "alice", errors.New("exceeded quota")), false, v1alpha1.SecretRejectedReason},
		"a webhook that is down":          {apierrors.NewInternalError(errors.New("failed calling webhook")), false, v1alpha1.SecretNotWrittenReason},
		"an API server that is busy":      {apierrors.NewTooManyRequests("busy", 1), false, v1alpha1.SecretNotWrittenReason},
		"an API server that times out":    {apierrors.NewTimeoutError("etcd", 1), false, v1alpha1.SecretNotWrittenReason},
		"an API server that is not there": {errors.New("connection refused"), false, v1alpha1.SecretNotWrittenReason},
	} {
		t.Run(name, func(t *testing.T) {
			if got := movedOn(fmt.Errorf("writing: %w", test.err)); got != test.movedOn {
				t.Fatalf("moved on: %v", got)
			}
			if test.movedOn {
				return
			}
			never := func(string) bool { return false }
			if got := writeFailure("write", test.err, never); got.Reason != test.reason || !isUnwritten(got) {
				t.Errorf("got %+v, want %s", got, test.reason)
			}
		})
	}
}

// refusalOf returns the error as a client decodes it, with details.
func refusalOf(err *apierrors.StatusError) error {
	err.ErrStatus.Details.Kind = "namespaces"
	return err
}

// A webhook sees the new Secret and the old Secret, and may quote the token of either.
func TestTheWordsOfAWebhookNeverShowAToken(t *testing.T) {
	const old, fetched = "old-canary-0123456789abcdef", "new-canary-0123456789abcdef"
	seen := healthy()
	seen.secret.Facts.TokenHash = tokensecret.HashToken(string(seen.token.UID), redact.NewString(old))
	done, altered := outcomeOf(seen, finding.Finding{}), outcomeOf(seen, finding.Finding{})
	done.call.answer.Token.Value = redact.NewString(fetched)
	altered.secret = tokensecret.Secret{State: tokensecret.Altered, Meta: seen.secret.Meta}
	for _, quoted := range []string{old, fetched, `data: {"access_token": "` + old + `"}`, "token=" + fetched} {
		err := refusal(http.StatusForbidden, metav1.StatusReasonForbidden, `admission webhook "nosy.example.com" denied the request: `+quoted)
		for _, text := range []string{words(err, done.quotes), words(err, altered.mayQuote)} {
			if strings.Contains(text, "canary") || !strings.Contains(text, `"nosy.example.com" denied the request`) {
				t.Errorf("told: %s", text)
			}
		}
	}
	err := refusal(http.StatusForbidden, metav1.StatusReasonForbidden, `admission webhook "strict.example.com" denied the request: label "team" is missing`)
	if text := words(err, done.quotes); !strings.HasSuffix(text, `label "team" is missing`) {
		t.Errorf("told: %s", text)
	}
}
