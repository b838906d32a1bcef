package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// journal returns a state in which WorkOS answered requests for Alice's GitHub connection with
// tokens of these serials.
func journal(serials ...int) *state {
	s := &state{requests: []workossim.Request{{ID: slackAlice.id}}}
	for _, serial := range serials {
		s.requests = append(s.requests, workossim.Request{ID: githubAlice.id, TokenSerial: serial})
	}
	return s
}

func TestARotationIsOneNewTokenByOneCall(t *testing.T) {
	for name, test := range map[string]struct {
		now *state
		ok  bool
	}{
		"too few":                   {journal(1, 2), false},
		"two":                       {journal(1, 2, 3), true},
		"the same token once more":  {journal(1, 2, 2, 3), false},
		"the old token once more":   {journal(1, 1, 2, 3), false},
		"an answer without a token": {journal(1, 2, 0, 3), false},
	} {
		if seen, ok := githubAlice.rotated(2).met(journal(1), test.now); ok != test.ok {
			t.Errorf("%s: got %q, %v", name, seen, ok)
		}
	}
}

func TestAWriteShowsInTheResourceVersion(t *testing.T) {
	version := func(v string) *state {
		return &state{secrets: map[string]corev1.Secret{"a": {ObjectMeta: metav1.ObjectMeta{ResourceVersion: v}}}}
	}
	if seen, ok := nothingDone().met(version("1"), version("1")); !ok {
		t.Errorf("nothing was written: got %q", seen)
	}
	if seen, ok := nothingDone().met(version("1"), version("2")); ok {
		t.Errorf("a Secret was written: got %q", seen)
	}
}

func TestAStepFailsUnlessItsChecksStayTrue(t *testing.T) {
	looks, broken := 0, errors.New("the operator has ended")
	for name, test := range map[string]struct {
		met  func() bool
		dead error
		want string
	}{
		"true":              {met: func() bool { return true }},
		"never true":        {met: func() bool { return false }, want: "not so: it is well: no"},
		"true for a moment": {met: func() bool { return looks == 2 }, want: "not so: it is well: no"},
		"the operator ends": {met: func() bool { return false }, dead: broken, want: broken.Error()},
	} {
		looks = 0
		r := &runner{poll: time.Millisecond, dead: func() error { return test.dead },
			look: func(context.Context) (*state, error) { looks++; return &state{}, nil }}
		err := r.run(t.Context(), []step{{"first", []phase{{
			until:  []check{{"it is well", func(_, _ *state) (string, bool) { return "", test.met() }}},
			within: 50 * time.Millisecond, steady: 20 * time.Millisecond,
		}}}})
		if (err == nil) != (test.want == "") || err != nil && !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
