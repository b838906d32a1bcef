package main

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// journalOf returns a snapshot in which WorkOS answered requests for Alice's GitHub connection
// with tokens of these serials.
func journalOf(serials ...int) *snapshot {
	s := &snapshot{requests: []workossim.Request{{ID: slackAlice.id}}}
	for _, serial := range serials {
		s.requests = append(s.requests, workossim.Request{ID: githubAlice.id, TokenSerial: serial})
	}
	return s
}

func TestARotationIsOneNewTokenByOneCall(t *testing.T) {
	before := journalOf(1)
	for name, test := range map[string]struct {
		now  *snapshot
		seen string
		ok   bool
	}{
		"too few":                    {journalOf(1, 2), "1 new tokens, 1 calls", false},
		"two":                        {journalOf(1, 2, 3), "2 new tokens, 2 calls", true},
		"one more than asked for":    {journalOf(1, 2, 3, 4), "3 new tokens, 3 calls", true},
		"the same token once more":   {journalOf(1, 2, 2, 3), "2 new tokens, 3 calls", false},
		"the old token once more":    {journalOf(1, 1, 2, 3), "2 new tokens, 3 calls", false},
		"an answer without a token":  {journalOf(1, 2, 0, 3), "2 new tokens, 3 calls", false},
		"a journal that was emptied": {journalOf(), "0 new tokens, 0 calls", false},
	} {
		if seen, ok := githubAlice.rotated(2).met(before, test.now); seen != test.seen || ok != test.ok {
			t.Errorf("%s: got %q, %v", name, seen, ok)
		}
	}
}

func TestCallsAreCountedForOneConnectionAndOnePhase(t *testing.T) {
	for want, now := range []*snapshot{journalOf(1), journalOf(1, 2), journalOf(1, 2, 3)} {
		if seen, ok := githubAlice.calls(want).met(journalOf(1), now); !ok {
			t.Errorf("%d: got %q", want, seen)
		}
	}
	if seen, ok := githubAlice.calls(1).met(journalOf(1), journalOf(1, 2, 3)); ok || seen != "asked twice" {
		t.Errorf("got %q, %v", seen, ok)
	}
}

func TestAWriteShowsInTheResourceVersion(t *testing.T) {
	versions := func(byName map[string]string) *snapshot {
		s := &snapshot{secrets: map[string]*corev1.Secret{}}
		for name, version := range byName {
			s.secrets[name] = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: version}}
		}
		return s
	}
	before := versions(map[string]string{"a": "1", "b": "1"})
	if seen, ok := noWrites().met(before, before); !ok {
		t.Errorf("got %q", seen)
	}
	const want = "changed: a from 1 to 2, b is gone, c is new"
	if seen, ok := noWrites().met(before, versions(map[string]string{"a": "2", "c": "3"})); ok || seen != want {
		t.Errorf("got %q", seen)
	}
}
