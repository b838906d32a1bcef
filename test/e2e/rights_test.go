//go:build e2e

package e2e

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
)

// operatorRights is the complete list of the operator's rights: all means in all namespaces, own
// means in pipes-system only. The spec also fails if the operator has a right that is not in the
// list.
//
//nolint:dupword // a table
const operatorRights = `
                                                              get  list  watch  create  update  patch  delete  deletecollection
secrets                                                       own  all   all    all     no      all    all     no
configmaps                                                    no   no    no     no      no      no     no      no
pods                                                          no   no    no     no      no      no     no      no
pods/exec                                                     no   .     .      no      .       .      .       .
pods/attach                                                   no   .     .      no      .       .      .       .
pods/portforward                                              no   .     .      no      .       .      .       .
pods/log                                                      no   .     .      .       .       .      .       .
pods/ephemeralcontainers                                      no   .     .      .       no      no     .       .
pods/eviction                                                 .    .     .      no      .       .      .       .
deployments.apps                                              no   no    .      no      no      no     no      .
serviceaccounts                                               no   no    .      no      no      no     no      .
serviceaccounts/token                                         .    .     .      no      .       .      .       .
pipestokens.pipes.workos.com                                  all  all   all    no      no      no     no      no
pipestokens.pipes.workos.com/status                           no   .     .      .       no      all    .       .
pipestokens.pipes.workos.com/finalizers                       .    .     .      .       no      no     .       .
pipesenvironments.pipes.workos.com                            all  all   all    no      no      no     no      no
pipesenvironments.pipes.workos.com/status                     no   .     .      .       no      all    .       .
pipesenvironments.pipes.workos.com/finalizers                 .    .     .      .       no      no     .       .
leases.coordination.k8s.io                                    no   no    no     own     no      no     no      no
leases.coordination.k8s.io pipes-operator.pipes.workos.com    own  .     .      .       own     no     no      .
events                                                        no   no    no     own     no      own    no      no
events.events.k8s.io                                          no   no    no     all     no      all    no      no
roles.rbac.authorization.k8s.io                               no   no    .      no      no      no     no      .
rolebindings.rbac.authorization.k8s.io                        no   no    .      no      no      no     no      .
localsubjectaccessreviews.authorization.k8s.io                .    .     .      no      .       .      .       .
namespaces                                                    all  all   all    no      no      no     no      no
namespaces/finalize                                           .    .     .      .       no      .      .       .
nodes                                                         no   no    .      no      no      no     no      .
nodes/proxy                                                   no   .     .      no      .       .      .       .
clusterroles.rbac.authorization.k8s.io                        no   no    .      no      no      no     no      .
clusterrolebindings.rbac.authorization.k8s.io                 no   no    .      no      no      no     no      .
customresourcedefinitions.apiextensions.k8s.io                no   no    .      no      no      no     no      .
mutatingwebhookconfigurations.admissionregistration.k8s.io    no   no    .      no      no      no     no      .
validatingwebhookconfigurations.admissionregistration.k8s.io  no   no    .      no      no      no     no      .
certificatesigningrequests.certificates.k8s.io                no   no    .      no      no      no     no      .
certificatesigningrequests.certificates.k8s.io/approval       .    .     .      .       no      no     .       .
tokenreviews.authentication.k8s.io                            .    .     .      all     .       .      .       .
subjectaccessreviews.authorization.k8s.io                     .    .     .      all     .       .      .       .
/metrics                                                      no   .     .      .       .       .      .       .
/logs                                                         no   .     .      .       .       .      .       .
`

// operatorPowers are verbs that can lead to more rights.
//
//nolint:dupword // a table
const operatorPowers = `
                                          impersonate  bind  escalate  approve  sign  *
users                                     no           .     .         .        .     .
groups                                    no           .     .         .        .     .
serviceaccounts                           no           .     .         .        .     .
userextras.authentication.k8s.io/scopes   no           .     .         .        .     .
roles.rbac.authorization.k8s.io           .            no    no        .        .     no
clusterroles.rbac.authorization.k8s.io    .            no    no        .        .     no
signers.certificates.k8s.io               .            .     .         no       no    .
secrets                                   .            .     .         .        .     no
*                                         .            .     .         .        .     no
`

var _ = Describe("The operator's account", func() {
	It("may do what docs/explanation/security.md says, and nothing else", func() {
		elsewhere := newNamespace()
		Expect(get[rbacv1.RoleBindingList]("rolebindings", "--namespace="+elsewhere).Items).To(BeEmpty())
		clusterScoped := strings.Fields(kubectl("api-resources", "--namespaced=false", "--output=name"))
		ask := func(verb, what string) string {
			resource, _, _ := strings.Cut(what, "/")
			may := func(where string) bool { return canI(operatorAccount, verb, what, where) }
			switch {
			case slices.Contains(clusterScoped, resource) || resource == "":
				return map[bool]string{true: "all", false: "no"}[may("--all-namespaces")]
			// This namespace has no RoleBinding, so a ClusterRoleBinding grants the right.
			case may("--namespace=" + elsewhere):
				return map[bool]string{true: "all", false: "some"}[may("--all-namespaces")]
			default:
				return map[bool]string{true: "own", false: "no"}[may("--namespace="+operatorNamespace)]
			}
		}
		wanted, powers := parseMatrix(operatorRights), parseMatrix(operatorPowers)
		rights, power := wanted.answered(ask), powers.answered(ask)
		AddReportEntry("kubectl auth can-i --as="+operatorAccount+" (all: in all namespaces, own: in "+operatorNamespace+" only, .: not asked)",
			"\n"+rights.String()+"\n"+power.String(), ReportEntryVisibilityAlways)
		Expect(rights.String()).To(Equal(wanted.String()))
		Expect(power.String()).To(Equal(powers.String()))

		Expect(listedRights(operatorNamespace, elsewhere)).To(ConsistOf(wanted.pairs("all", "own")), "nothing but that in its own namespace")
		Expect(listedRights(elsewhere, elsewhere)).To(ConsistOf(wanted.pairs("all")), "nothing but that elsewhere")
		everywhere, own := documentedRights()
		Expect(everywhere).To(ConsistOf(wanted.pairs("all")), "docs/explanation/security.md")
		Expect(append(own, everywhere...)).To(And(ContainElements(wanted.pairs("own")), HaveEach(BeElementOf(wanted.pairs("all", "own")))), "docs/explanation/security.md")
	})

	It("is bound to no role that has a wildcard, such as cluster-admin", func() {
		roles := rolesOf("ServiceAccount", "pipes-operator-manager")
		for _, group := range []string{"system:serviceaccounts", "system:serviceaccounts:" + operatorNamespace, "system:authenticated"} {
			roles = append(roles, rolesOf("Group", group)...)
		}
		Expect(roles).To(ContainElement([]string{"clusterrole", "pipes-operator-manager"}))
		for _, role := range roles {
			for _, rule := range rulesOf(role) {
				for _, list := range [][]string{rule.Verbs, rule.APIGroups, rule.Resources, rule.NonResourceURLs} {
					Expect(list).NotTo(ContainElement("*"), "%v", role)
				}
			}
		}
	})
})

// pairs returns the rights with any of the answers, as "verb resource".
func (m matrix) pairs(answers ...string) []string {
	var pairs []string
	for _, row := range m.rows {
		for i, verb := range m.verbs {
			if slices.Contains(answers, row.answers[i]) {
				pairs = append(pairs, verb+" "+row.subject)
			}
		}
	}
	return pairs
}

// listed matches a line of kubectl auth can-i --list: a resource or a path, object names, and
// verbs.
var listed = regexp.MustCompile(`(?m)^(\S*) +\[(\S*)\] +\[(.*)\] +\[(.*)\]$`)

// listedRights returns the operator's rights in a namespace that other ServiceAccounts do not
// have.
func listedRights(namespace, elsewhere string) []string {
	GinkgoHelper()
	list := func(account string) []string {
		var pairs []string
		text := kubectl("auth", "can-i", "--list", "--as="+account, "--namespace="+namespace)
		for _, line := range listed.FindAllStringSubmatch(text, -1) {
			for _, verb := range strings.Fields(line[4]) {
				pairs = append(pairs, strings.TrimSpace(verb+" "+line[1]+line[2]+" "+line[3]))
			}
		}
		return pairs
	}
	everybodys := list("system:serviceaccount:" + elsewhere + ":default")
	Expect(everybodys).NotTo(BeEmpty())
	return slices.DeleteFunc(list(operatorAccount), func(pair string) bool { return slices.Contains(everybodys, pair) })
}

// rolesOf returns the roles that are bound to a subject in any namespace, as arguments of
// kubectl get. A ServiceAccount is always in pipes-system.
func rolesOf(kind, name string) [][]string {
	GinkgoHelper()
	var roles [][]string
	add := func(ref rbacv1.RoleRef, namespace string, subjects []rbacv1.Subject) {
		for _, s := range subjects {
			if s.Kind != kind || s.Name != name || kind == "ServiceAccount" && s.Namespace != operatorNamespace {
				continue
			}
			role := []string{strings.ToLower(ref.Kind), ref.Name}
			if ref.Kind == "Role" {
				role = append(role, "--namespace="+namespace)
			}
			roles = append(roles, role)
		}
	}
	for _, b := range get[rbacv1.ClusterRoleBindingList]("clusterrolebindings").Items {
		add(b.RoleRef, "", b.Subjects)
	}
	for _, b := range get[rbacv1.RoleBindingList]("rolebindings", "--all-namespaces").Items {
		add(b.RoleRef, b.Namespace, b.Subjects)
	}
	return roles
}

// rulesOf returns the rules of a role. It returns none if the role no longer exists: other specs
// delete their roles.
func rulesOf(role []string) []rbacv1.PolicyRule {
	GinkgoHelper()
	text := kubectl(append([]string{"get", "--ignore-not-found", "--output=json"}, role...)...)
	if text == "" {
		return nil
	}
	var found rbacv1.ClusterRole // a Role has the same format
	Expect(json.Unmarshal([]byte(text), &found)).To(Succeed())
	return found.Rules
}
