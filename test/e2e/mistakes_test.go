//go:build e2e

package e2e

import (
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
)

// mistake is invalid YAML that a user might write. For a mistake in an edit, the original
// exists: the PipesToken alice, without an organization.
type mistake struct{ title, kind, name, spec string }

var mistakes = []mistake{
	{"A PipesToken without a slug", "PipesToken", "bob", `{userID: user_bob}`},
	{"A field in the spelling of another API", "PipesToken", "bob", `{slug: github, userId: user_bob}`},
	{"An organization that is empty, as templates write it", "PipesToken", "bob", `{slug: github, userID: user_bob, organizationID: ""}`},
	{"An organization named none", "PipesToken", "bob", `{slug: github, userID: user_bob, organizationID: none}`},
	{"A duration that is too short", "PipesToken", "bob", `{slug: github, userID: user_bob, refreshInterval: 10s}`},
	{"A duration that is no duration", "PipesToken", "bob", `{slug: github, userID: user_bob, refreshInterval: hourly}`},
	{"A duration without a unit", "PipesToken", "bob", `{slug: github, userID: user_bob, renewBefore: 600}`},
	{"A policy that there is not", "PipesToken", "bob", `{slug: github, userID: user_bob, inactivePolicy: Keep}`},
	{"An owner that there is not", "PipesToken", "bob", `{slug: github, userID: user_bob, connectionOwner: Team}`},
	{"The connection of an organization, without the organization", "PipesToken", "bob", `{slug: github, userID: user_bob, connectionOwner: Organization}`},
	{"A method in the spelling of WorkOS", "PipesToken", "bob", `{slug: github, userID: user_bob, authMethod: api_key}`},
	{"A connected account that is empty, as templates write it", "PipesToken", "bob", `{slug: github, userID: user_bob, connectedAccountID: ""}`},
	{"A reserved label", "PipesToken", "bob", `{slug: github, userID: user_bob, secretTemplate: {labels: {app.kubernetes.io/name: bob}}}`},
	{"Basic authentication without its keys", "PipesToken", "bob", `{slug: github, userID: user_bob, secretTemplate: {type: kubernetes.io/basic-auth}}`},
	{"An edit of the user", "PipesToken", "alice", `{slug: github, userID: user_bob}`},
	{"An edit of the slug", "PipesToken", "alice", `{slug: slack, userID: user_alice}`},
	{"An organization that is added later", "PipesToken", "alice", `{slug: github, userID: user_alice, organizationID: org_acme}`},
	{"A name of the Secret that is added later", "PipesToken", "alice", `{slug: github, userID: user_alice, secretName: token}`},
	{"An edit of the method", "PipesToken", "alice", `{slug: github, userID: user_alice, authMethod: APIKey}`},
	{"A connected account that is added later", "PipesToken", "alice", `{slug: github, userID: user_alice, connectedAccountID: data_installation_1}`},
	{"A PipesEnvironment without an API key", "PipesEnvironment", "default", `{grants: [{namespaces: {names: [agents]}, slugs: ["*"], organizationIDs: ["*"], userIDs: ["*"]}]}`},
	{"A list of names that is empty", "PipesEnvironment", "default", withGrant(`namespaces: {names: []}`)},
	{"A grant without namespaces", "PipesEnvironment", "default", withGrant(`slugs: [github]`)},
	{"A grant of namespaces alone", "PipesEnvironment", "default", withOnly(`namespaces: {names: [agents]}`)},
	{"A list of users that is null, as templates write it", "PipesEnvironment", "default", withGrant(`namespaces: {names: [agents]}, userIDs: null`)},
	{"A list of users that is empty", "PipesEnvironment", "default", withGrant(`namespaces: {names: [agents]}, userIDs: []`)},
	{"A star beside a user", "PipesEnvironment", "default", withGrant(`namespaces: {names: [agents]}, userIDs: [user_alice, "*"]`)},
	{"A selector that is empty", "PipesEnvironment", "default", withGrant(`namespaces: {selector: {}}`)},
	{"A pattern", "PipesEnvironment", "default", withGrant(`namespaces: {names: ["team-*"]}`)},
	{"A name twice", "PipesEnvironment", "default", withGrant(`namespaces: {names: [agents, agents]}`)},
	{"A base URL without its scheme", "PipesEnvironment", "default", `{apiKeySecretRef: {name: workos-api-key, key: api-key}, baseURL: api.workos.com}`},
	{"A rate of zero", "PipesEnvironment", "default", `{apiKeySecretRef: {name: workos-api-key, key: api-key}, requestsPerMinute: 0}`},
	{"A poll interval that is too short", "PipesEnvironment", "default", `{apiKeySecretRef: {name: workos-api-key, key: api-key}, events: {pollInterval: 1s}}`},
}

// withGrant returns a spec with a single grant. It adds "*" for each list that part does not
// have.
func withGrant(part string) string {
	for _, list := range []string{"slugs", "organizationIDs", "userIDs"} {
		if !strings.Contains(part, list+":") {
			part += `, ` + list + `: ["*"]`
		}
	}
	return withOnly(part)
}

// withOnly returns a spec with exactly this grant.
func withOnly(grant string) string {
	return `{apiKeySecretRef: {name: workos-api-key, key: api-key}, grants: [{` + grant + `}]}`
}

func (m mistake) yaml(namespace string) string {
	return fmt.Sprintf(`apiVersion: pipes.workos.com/v1alpha1
kind: %s
metadata: {name: %s, namespace: %s}
spec: %s
`, m.kind, m.name, namespace, m.spec)
}

var _ = Describe("A mistake", func() {
	It("is refused with a message that says what to write instead", func() {
		namespace := newNamespace()
		apply(mistake{kind: "PipesToken", name: "alice", spec: `{slug: github, userID: user_alice}`}.yaml(namespace))
		var seen []string
		for _, m := range mistakes {
			yaml := m.yaml(namespace)
			stdout, stderr, err := runKubectl(yaml, "apply", "--dry-run=server", "--filename=-")
			if err == nil {
				Fail("accepted: " + yaml + stdout)
			}
			seen = append(seen, "# "+m.title+"\n"+yaml+"$ kubectl apply --dry-run=server -f -\n"+stdout+stderr)
		}
		expectGolden("mistakes", steady(strings.Join(seen, "\n"), strings.TrimPrefix(namespace, "e2e-")))
	})
})
