package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

const (
	// soon is the deadline for operations that take about a second. It is long because the
	// machine may be busy.
	soon = time.Minute
	// quiet is how long a state must stay unchanged.
	quiet = 2 * time.Second
)

// steps returns the steps of the demo.
func (d *demo) steps() []step {
	return []step{d.sync(), d.rotate(), d.connect(), d.reauthorize(), d.grant(), d.repair(), d.restart()}
}

func (d *demo) sync() step {
	return step{title: "a token is synced", phases: []phase{{
		say: "A PipesEnvironment holds the API key and says who may use it; a PipesToken asks for Alice's GitHub token. " +
			"The table is what kubectl get pipestokens -w shows.",
		do: []action{d.apply("environment"), d.apply(githubAlice.name)},
		until: []check{
			githubAlice.synced(), githubAlice.hasKeys("access_token", "expires_at", "scopes"),
			githubAlice.calls(1), githubAlice.cameAfter(d.since.at, d.since.what),
		},
		within: soon,
		show:   []action{d.user("describe", "secret", githubAlice.name)},
	}}}
}

func (d *demo) rotate() step {
	return step{title: "it rotates", phases: []phase{{
		say: "In this demo Alice's GitHub tokens live for 40 seconds. Once half of that has passed the operator asks " +
			"for the next one, and the Secret never holds an expired token. Watch two rotations; it goes on in the " +
			"background after that.",
		until:  []check{githubAlice.rotated(2), githubAlice.synced(), githubAlice.holdsNewest()},
		within: 3 * time.Minute, // two rotations take about 45 s
		show:   []action{d.journal(githubAlice)},
	}}}
}

func (d *demo) connect() step {
	return step{title: "a user connects", phases: []phase{{
		say: "Alice has not connected Slack yet. The PipesToken says so, and there is no Secret: " +
			"a pod that mounts it waits.",
		do:     []action{d.apply(slackAlice.name)},
		until:  []check{slackAlice.stuck(v1alpha1.NotInstalledReason), slackAlice.noSecret()},
		within: soon,
	}, {
		say: "Now she connects it. The operator would notice by itself: it asks again every 30 seconds, later less " +
			"often. Whoever cannot wait, such as the page that she has connected on, asks for it with an annotation.",
		do: []action{
			d.simulate("state", `{"slug":"slack","userID":"user_01ALICE","state":"connected"}`),
			d.requestRefresh(slackAlice),
		},
		until:  []check{slackAlice.synced(), slackAlice.holdsNewest()},
		within: soon,
	}}}
}

func (d *demo) reauthorize() step {
	return step{title: "a user has to connect again", phases: []phase{{
		say:    "Bob's Notion token is there.",
		do:     []action{d.apply(notionBob.name)},
		until:  []check{notionBob.synced(), notionBob.holdsNewest()},
		within: soon,
	}, {
		say: "Bob's connection breaks, and WorkOS says needs_reauthorization. At the next renewal, or at once with " +
			"the annotation, the token is taken out of the Secret (inactivePolicy: Clear), so that it also vanishes " +
			"from running pods.",
		do: []action{
			d.simulate("state", `{"slug":"notion","userID":"user_01BOB","state":"needs_reauthorization"}`),
			d.requestRefresh(notionBob),
		},
		until:  []check{notionBob.stuck(v1alpha1.NeedsReauthorizationReason), notionBob.cleared()},
		within: soon,
		steady: quiet,
		show:   []action{d.user("get", "secret", notionBob.name)},
	}, {
		say: "Bob connects again, and the same Secret holds a token again.",
		do: []action{
			d.simulate("state", `{"slug":"notion","userID":"user_01BOB","state":"connected"}`),
			d.requestRefresh(notionBob),
		},
		until:  []check{notionBob.synced(), notionBob.holdsNewest()},
		within: soon,
		show:   []action{d.user("get", "secret", notionBob.name)},
	}}}
}

func (d *demo) grant() step {
	return step{title: "a grant is missing, and given", phases: []phase{{
		say: "The namespace agents may use the API key for github, slack and notion. " +
			"Carol's Linear token is refused, and WorkOS is not even asked.",
		do:     []action{d.apply(linearCarol.name)},
		until:  []check{linearCarol.stuck(v1alpha1.NotGrantedReason), linearCarol.noSecret(), linearCarol.calls(0)},
		within: soon,
		steady: quiet,
	}, {
		say: "The owner of the PipesEnvironment grants it. That takes effect at once.",
		do: []action{d.user("patch", "pipesenvironment", "default", "--namespace="+operatorNamespace, "--type=json",
			"-p", `[{"op":"add","path":"/spec/grants/0/slugs/-","value":"linear"}]`)},
		until: []check{
			linearCarol.synced(), linearCarol.holdsNewest(), linearCarol.calls(1), linearCarol.cameAfterGrant(),
		},
		within: soon,
	}}}
}

func (d *demo) repair() step {
	return step{title: "a hand-edited Secret is repaired", phases: []phase{{
		say: "Somebody puts a label of their own onto a Secret, which is theirs to keep, " +
			"and then overwrites the token, which is not.",
		do: []action{
			d.user("label", "secret", slackAlice.name, "team=payments"),
			d.user("patch", "secret", slackAlice.name, "-p", `{"stringData":{"access_token":"edited by hand"}}`),
		},
		until: []check{
			slackAlice.sameToken(), slackAlice.labelled("team", "payments"), slackAlice.calls(1), slackAlice.synced(),
		},
		within: soon,
		steady: quiet,
		show:   []action{d.user("get", "secret", slackAlice.name, "--label-columns=team")},
	}}}
}

func (d *demo) restart() step {
	return step{title: "the operator restarts, at no call", phases: []phase{{
		say: "So that no renewal is due during the restart, Alice's GitHub tokens live for an hour from now on.",
		do: []action{
			d.simulate("connections", `{"slug":"github","userID":"user_01ALICE","lifetime":"1h"}`),
			d.requestRefresh(githubAlice),
		},
		until:  []check{githubAlice.synced(), githubAlice.holdsNewest(), githubAlice.livesLong(30 * time.Minute)},
		within: soon,
	}, {
		say: "The operator is stopped and started again. All it has to know is in the Secrets' metadata: " +
			"it asks WorkOS for nothing, and writes nothing.",
		do: []action{d.halt(), d.launch()},
		until: []check{
			allLookedAfter(), noCalls(), noWrites(), allSynced(),
		},
		within: soon,
		steady: quiet,
	}}}
}

// apply applies a sample.
func (d *demo) apply(name string) action {
	return d.user("apply", "-f", d.space.path(name+".yaml"))
}

// user returns a kubectl command.
func (d *demo) user(args ...string) action {
	return action{
		line: func() string {
			words := []string{"kubectl"}
			for i, arg := range args {
				if i > 0 && len(args[i-1]) == 2 && args[i-1][0] == '-' { // keep -f FILE together
					words[len(words)-1] += " " + quote(arg)
					continue
				}
				words = append(words, quote(arg))
			}
			return shellLine(words...)
		},
		run: func(ctx context.Context) (string, error) { return d.kubectl(ctx, args...) },
	}
}

// requestRefresh makes the operator ask WorkOS immediately. Any new value of the annotation does
// that.
func (d *demo) requestRefresh(s sample) action {
	args := []string{"annotate", "pipestoken", s.name, "--overwrite"}
	const value = v1alpha1.RefreshRequestedAtAnnotation + "="
	return action{
		line: func() string {
			return shellLine(append(append([]string{"kubectl"}, args...), value+`"$(date +%s)"`)...)
		},
		run: func(ctx context.Context) (string, error) {
			return d.kubectl(ctx, append(args, value+strconv.FormatInt(time.Now().Unix(), 10))...)
		},
	}
}

// simulate calls the control API of the simulator. It prints a curl command but does not run
// curl, which may not be installed.
func (d *demo) simulate(endpoint, body string) action {
	return action{
		line: func() string { return shellLine("curl", "$SIMULATOR/"+endpoint, "-d "+quote(body)) },
		run: func(ctx context.Context) (string, error) {
			return "", d.simulator.do(ctx, http.MethodPost, endpoint, body, nil)
		},
	}
}

// journal prints the requests to WorkOS, for the given connections or for all.
func (d *demo) journal(of ...sample) action {
	return action{
		line: func() string { return shellLine("curl", "$SIMULATOR/requests") + "   # in short:" },
		run: func(ctx context.Context) (string, error) {
			requests, err := d.simulator.requests(ctx)
			return journalTable(requests, of...), err
		},
	}
}

// halt stops the operator.
func (d *demo) halt() action {
	return action{
		line: func() string { return shellLine("kill", strconv.Itoa(d.operator.process.PID())) },
		run:  func(context.Context) (string, error) { return "", d.stopOperator() },
	}
}

// launch starts the operator.
func (d *demo) launch() action {
	return action{
		line: func() string {
			words := []string{d.built("pipes-operator")}
			for _, flag := range d.operatorFlags() {
				words = append(words, quote(flag))
			}
			return shellLine(append(words, "2>>"+d.space.path(operatorLog), "&")...)
		},
		run: func(ctx context.Context) (string, error) { return "", d.startOperator(ctx) },
	}
}
