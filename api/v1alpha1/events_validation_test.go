package v1alpha1_test

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

const pollRule = `pollInterval must be a duration between 5s and 10m, such as 15s or 1m30s`

var _ = Describe("The events of a PipesEnvironment", func() {
	DescribeTable("can be", func(ctx context.Context, events string) {
		Expect(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, `{events: `+events+`}`)).To(Succeed())
	}, entries(`null`, `{}`, `{pollInterval: null}`, `{pollInterval: 5s}`, `{pollInterval: 5000ms}`, `{pollInterval: 15s}`, `{pollInterval: 1m30s}`, `{pollInterval: 0.1h}`,
		`{pollInterval: 10m}`, `{pollInterval: 600s}`, `{disabled: true}`, `{disabled: false}`, `{disabled: null}`, `{disabled: true, pollInterval: 1m}`))

	DescribeTable("are refused with", func(ctx context.Context, events string, want []string) {
		Expect(words(tryToCreate(ctx, "PipesEnvironment", leastEnvironment, `{events: `+events+`}`))).To(ConsistOf(want))
	},
		Entry("the form of a text", `on`, lines(`spec.events: Invalid value: "boolean": spec.events in body must be of type object: "boolean"`)),
		Entry("the form of a list", `[15s]`, lines(`spec.events: Invalid value: "array": spec.events in body must be of type object: "array"`)),
		Entry("an unknown field", `{enabled: true}`, lines(unknownField("PipesEnvironment", "spec.events.enabled"))),
		Entry("pollInterval: empty", `{pollInterval: ""}`, lines(`spec.events.pollInterval: Invalid value: "": `+pollRule)),
		Entry("pollInterval: a number", `{pollInterval: 15}`, lines(
			`spec.events.pollInterval: Invalid value: "integer": spec.events.pollInterval in body must be of type string: "integer"`)),
		Entry("pollInterval: no unit", `{pollInterval: "15"}`, lines(`spec.events.pollInterval: Invalid value: "15": `+pollRule)),
		Entry("pollInterval: zero", `{pollInterval: 0s}`, lines(`spec.events.pollInterval: Invalid value: "0s": `+pollRule)),
		Entry("pollInterval: negative", `{pollInterval: -15s}`, lines(`spec.events.pollInterval: Invalid value: "-15s": `+pollRule)),
		Entry("pollInterval: too short", `{pollInterval: 4s}`, lines(`spec.events.pollInterval: Invalid value: "4s": `+pollRule)),
		Entry("pollInterval: a millisecond too short", `{pollInterval: 4999ms}`, lines(`spec.events.pollInterval: Invalid value: "4999ms": `+pollRule)),
		Entry("pollInterval: too long", `{pollInterval: 10m1s}`, lines(`spec.events.pollInterval: Invalid value: "10m1s": `+pollRule)),
		Entry("pollInterval: days", `{pollInterval: 1d}`, lines(`spec.events.pollInterval: Invalid value: "1d": `+pollRule)),
		Entry("pollInterval: with a space", `{pollInterval: 1m 30s}`, lines(`spec.events.pollInterval: Invalid value: "1m 30s": `+pollRule)),
		Entry("pollInterval: in capitals", `{pollInterval: 15S}`, lines(`spec.events.pollInterval: Invalid value: "15S": `+pollRule)),
		Entry("pollInterval: no duration", `{pollInterval: often}`, lines(`spec.events.pollInterval: Invalid value: "often": `+pollRule)),
		Entry("pollInterval: a long text", `{pollInterval: LONG}`, lines(`spec.events.pollInterval: Too long: may not be more than 32 bytes`)),
		Entry("disabled: a text", `{disabled: "true"}`, lines(`spec.events.disabled: Invalid value: "string": spec.events.disabled in body must be of type boolean: "string"`)),
		Entry("disabled: a number", `{disabled: 1}`, lines(`spec.events.disabled: Invalid value: "integer": spec.events.disabled in body must be of type boolean: "integer"`)),
	)

	DescribeTable("can be changed later:", func(ctx context.Context, before, after string) {
		const least = `{apiKeySecretRef: {name: workos-api-key, key: api-key}, events: `
		Expect(tryToUpdate(ctx, "PipesEnvironment", least+before+`}`, `{events: `+after+`}`)).To(Succeed())
	},
		Entry("turned off", `null`, `{disabled: true}`),
		Entry("turned on", `{disabled: true}`, `{disabled: false}`),
		Entry("another interval", `{}`, `{pollInterval: 1m}`),
		Entry("the interval removed", `{pollInterval: 1m}`, `{pollInterval: null}`),
		Entry("removed", `{pollInterval: 1m, disabled: true}`, `null`),
	)
})
