package main

import (
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// steps returns the steps of the demo.
func (d *demo) steps() []step {
	return []step{
		{"a token is synced", d.sync()},
		{"it rotates", d.rotate()},
		{"a user connects", d.connect()},
		{"a user has to connect again", d.reauthorize()},
		{"a grant is missing, and given", d.grant()},
		{"a hand-edited Secret is repaired", d.repair()},
		{"the operator restarts, at no call", d.reboot()},
		{"a user connects, and nobody annotates anything", d.follow()},
	}
}

func (d *demo) sync() []phase {
	return []phase{{
		say: `A PipesEnvironment holds the API key and says who may use it.
A PipesToken asks for Alice's GitHub token.`,
		do: []action{d.user("kubectl apply -f environment.yaml"), d.user("kubectl apply -f github-alice.yaml")},
		until: []check{
			githubAlice.synced(), githubAlice.holds("access_token, expires_at, scopes"), githubAlice.calls(1),
			githubAlice.firstSecret(d.since),
		},
		show: []action{d.user("kubectl get pipestokens"), d.user("kubectl describe secret github-alice")},
	}}
}

func (d *demo) rotate() []phase {
	return []phase{{
		say: `In this demo Alice's GitHub tokens live for 40 seconds. Once half of that has
passed, the operator asks for the next one. The Secret never holds an expired
token. Two rotations take about 45 seconds. They go on in the background.`,
		until:  []check{githubAlice.rotated(2), githubAlice.synced(), githubAlice.holdsNewest()},
		within: 3 * time.Minute,
		show:   []action{d.user("kubectl get pipestokens")},
	}}
}

func (d *demo) connect() []phase {
	return []phase{{
		say: `Alice has not connected Slack yet. The PipesToken says so, and there is no
Secret: a pod that mounts it waits.`,
		do:    []action{d.user("kubectl apply -f slack-alice.yaml")},
		until: []check{slackAlice.stuck(v1alpha1.NotInstalledReason), slackAlice.holds("no Secret")},
	}, {
		say: `Now she connects it. The operator notices this by itself, as step 8 shows. The
annotation makes it ask now, so that nobody has to wait for its next look. The
page on which Alice has connected can set it.`,
		do: []action{
			d.simulate("state", `{"slug":"slack","userID":"user_01ALICE","state":"connected"}`), d.refresh(slackAlice),
		},
		until: []check{slackAlice.synced(), slackAlice.holdsNewest()},
	}}
}

func (d *demo) reauthorize() []phase {
	return []phase{{
		say:   "Bob's Notion token is there.",
		do:    []action{d.user("kubectl apply -f notion-bob.yaml")},
		until: []check{notionBob.synced(), notionBob.holdsNewest()},
	}, {
		say: `Bob's connection breaks, and WorkOS says needs_reauthorization. Seconds
later, or now with the annotation, the operator takes the token out of the
Secret (the default of inactivePolicy). It then also vanishes from running pods.`,
		do: []action{
			d.simulate("state", `{"slug":"notion","userID":"user_01BOB","state":"needs_reauthorization"}`), d.refresh(notionBob),
		},
		until:  []check{notionBob.stuck(v1alpha1.NeedsReauthorizationReason), notionBob.holds("empty")},
		steady: quiet,
		show:   []action{d.user("kubectl get secret notion-bob")},
	}, {
		say: "Bob connects again, and the same Secret holds a token again.",
		do: []action{
			d.simulate("state", `{"slug":"notion","userID":"user_01BOB","state":"connected"}`), d.refresh(notionBob),
		},
		until: []check{notionBob.synced(), notionBob.holdsNewest()},
	}}
}

func (d *demo) grant() []phase {
	return []phase{{
		say: `The namespace agents may use the API key for github, slack and notion. The
operator refuses Carol's Linear token, and does not even ask WorkOS.`,
		do: []action{d.user("kubectl apply -f linear-carol.yaml")},
		until: []check{
			linearCarol.stuck(v1alpha1.NotGrantedReason), linearCarol.holds("no Secret"), linearCarol.calls(0),
		},
		steady: quiet,
	}, {
		say: "The owner of the PipesEnvironment grants it. That takes effect at once.",
		do: []action{d.user("kubectl patch pipesenvironment default -n " + operatorNamespace + " --type=json \\\n" +
			`      -p '[{"op":"add","path":"/spec/grants/0/slugs/-","value":"linear"}]'`)},
		until: []check{linearCarol.synced(), linearCarol.holdsNewest(), linearCarol.calls(1)},
	}}
}

func (d *demo) repair() []phase {
	return []phase{{
		say: `Somebody puts a label of their own onto a Secret, which is theirs to keep.
Then they overwrite the token, which is not.`,
		do: []action{
			d.user("kubectl label secret slack-alice team=payments"),
			d.user(`kubectl patch secret slack-alice -p '{"stringData":{"access_token":"edited by hand"}}'`),
		},
		until:  []check{slackAlice.repaired("team", "payments"), slackAlice.calls(1), slackAlice.synced()},
		steady: quiet,
		show:   []action{d.user("kubectl get secret slack-alice --label-columns=team")},
	}}
}

func (d *demo) reboot() []phase {
	return []phase{{
		say: `So that no renewal is due during the restart, Alice's GitHub tokens live for an
hour from now on. The event of this change gets lost. The annotation makes the
operator ask all the same.`,
		do: []action{
			d.simulate("event-rules", `{"lose":1}`),
			d.simulate("connections", `{"slug":"github","userID":"user_01ALICE","lifetime":"1h"}`), d.refresh(githubAlice),
		},
		until: []check{githubAlice.synced(), githubAlice.holdsNewest(), githubAlice.livesLong(30 * time.Minute)},
	}, {
		say: `The operator is stopped and started again. All that it has to know is in the
metadata of the Secrets: it asks WorkOS for nothing, and writes nothing.`,
		do:     []action{d.restart()},
		until:  []check{allReconciled(), nothingDone()},
		steady: quiet,
		show:   []action{d.user("kubectl get pipestokens")},
	}}
}

func (d *demo) follow() []phase {
	return []phase{{
		say: `Bob has not connected Slack yet. The operator follows the events of WorkOS, so
it does not keep asking for him: without an event it would ask after an hour.`,
		do: []action{
			d.user("kubectl wait pipesenvironment default -n " + operatorNamespace +
				" --for=condition=EventsFollowed --timeout=60s"),
			d.user("kubectl apply -f slack-bob.yaml"),
		},
		until:  []check{slackBob.stuck(v1alpha1.NotInstalledReason), slackBob.holds("no Secret"), slackBob.calls(1)},
		steady: quiet,
	}, {
		say: `Bob connects Slack, and nobody does anything else. Every 5 seconds (pollInterval
in environment.yaml) the operator asks WorkOS for new events, for all users at
once. It finds the event of Bob, and asks for his token.`,
		do:     []action{d.simulate("state", `{"slug":"slack","userID":"user_01BOB","state":"connected"}`)},
		until:  []check{slackBob.synced(), slackBob.holdsNewest(), slackBob.calls(1), slackBob.followed()},
		within: noticed,
		show:   []action{d.user("kubectl get pipestokens")},
	}}
}
