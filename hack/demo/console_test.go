package main

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestCommandsCanBeTypedAsTheyAreShown(t *testing.T) {
	for name, test := range map[string]struct{ got, want string }{
		"plain":     {shellLine("kubectl", quote("get"), quote("--namespace=agents")), "$ kubectl get --namespace=agents"},
		"JSON":      {quote(`{"a":"it's"}`), `'{"a":"it'\''s"}'`},
		"space":     {quote("a b"), "'a b'"},
		"nothing":   {quote(""), "''"},
		"expansion": {quote("$HOME"), "'$HOME'"},
	} {
		if test.got != test.want {
			t.Errorf("%s: got %s, want %s", name, test.got, test.want)
		}
	}
}

func TestLongCommandsContinueOnTheNextLine(t *testing.T) {
	word := strings.Repeat("x", 40)
	if got, want := shellLine("kubectl", word, word, "short"), "$ kubectl "+word+" \\\n    "+word+" short"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(shellLine("kubectl", strings.Repeat("y", 62), "z", "z", "z", "z")) {
		if line = strings.TrimSuffix(line, "\n"); len(indent)+len(line) > columns {
			t.Errorf("%d columns: %s", len(indent)+len(line), line)
		}
	}
}

func TestSentencesAreWrapped(t *testing.T) {
	got := strings.Join(wrap("one two  three\nfour fifteen-letters", 9), "|")
	if want := "one two|three|four|fifteen-letters"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestGapsDoNotAddUp(t *testing.T) {
	var out strings.Builder
	c := &console{out: &out}
	c.say("one")
	c.gap()
	c.title("two")
	c.output("three\n\n")
	c.gap()
	c.say("four")
	if want := "\n  one\n\ntwo\n  three\n\n  four\n\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestColourOnlyWhereThereIsColour(t *testing.T) {
	if got := (&console{}).paint(red, "text"); got != "text" {
		t.Errorf("got %q", got)
	}
	if got := (&console{colour: true}).paint(red, "text"); got != "\x1b[31mtext\x1b[0m" {
		t.Errorf("got %q", got)
	}
}

type closedPipe struct{}

func (closedPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestItIsNoticedWhenNobodyReads(t *testing.T) {
	var got error
	c := &console{out: closedPipe{}, broken: func(err error) { got = err }}
	c.say("anybody?")
	if !errors.Is(got, os.ErrClosed) {
		t.Errorf("got %v", got)
	}
}
