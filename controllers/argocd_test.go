package controllers_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	ginkgotypes "github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/controllers/pipestoken"
)

// argoHealthOf is Argo CD's health for each result of kstatus.
var argoHealthOf = map[status.Status]string{
	status.CurrentStatus:    "Healthy",
	status.InProgressStatus: "Progressing",
	status.FailedStatus:     "Degraded",
}

// judged are the situations in which kstatus and Argo CD have agreed, as "Kind Type/Reason".
var judged = sets.New[string]()

// expectArgoCDToAgree asserts that the health check for Argo CD agrees with kstatus about an
// object, and shows the message that helps the user. It is called for every status that a spec
// reads, and for every object whose kstatus a spec checks.
func expectArgoCDToAgree(object *unstructured.Unstructured, result status.Status) {
	GinkgoHelper()
	if result == status.TerminatingStatus {
		return // Argo CD runs no health check for an object that is being deleted
	}
	health, message, err := argoHealth(object)
	Expect(err).NotTo(HaveOccurred())
	Expect(health).To(Equal(argoHealthOf[result]), "kstatus says %s of %v", result, object.Object["status"])

	observed, found, err := unstructured.NestedInt64(object.Object, "status", "observedGeneration")
	Expect(err).NotTo(HaveOccurred())
	if found && observed != object.GetGeneration() {
		Expect(message).To(Equal("Waiting for the operator to look at the latest change"))
		return
	}
	conditions := map[string]status.BasicCondition{}
	content, err := status.GetObjectWithConditions(object.Object)
	Expect(err).NotTo(HaveOccurred())
	for _, condition := range content.Status.Conditions {
		conditions[condition.Type] = condition
	}
	shown := conditions[v1alpha1.ReadyCondition]
	judged.Insert(object.GetKind() + " Ready/" + shown.Reason)
	if failed, ok := conditions[v1alpha1.RenewalFailedCondition]; ok {
		judged.Insert(object.GetKind() + " RenewalFailed/" + failed.Reason)
		shown = failed
	}
	Expect(message).To(Equal(shown.Message))
}

// If no spec reaches a situation, the suite cannot know whether Argo CD agrees with kstatus in it.
// A run of only some specs cannot check this.
var _ = ReportAfterSuite("kstatus and Argo CD have judged every situation", func(report Report) {
	pending := len(report.SpecReports.WithState(ginkgotypes.SpecStatePending))
	whole := report.PreRunStats.SpecsThatWillRun+pending == report.PreRunStats.TotalSpecs
	if !whole || !report.SuiteSucceeded || report.SuiteConfig.DryRun || report.SuiteConfig.ParallelTotal > 1 {
		return
	}
	Expect(sets.List(sets.New(situations()...).Difference(judged))).To(BeEmpty(), "no spec reaches these")
})

// situations returns all situations that have a row in docs/reference/conditions.md: each reason
// of Ready, and the reasons that a valid token hides.
func situations() []string {
	GinkgoHelper()
	all := []string{"PipesEnvironment Ready/" + v1alpha1.PendingReason}
	for _, kind := range []string{"PipesToken", "PipesEnvironment"} {
		for _, reason := range reasonsUnder("Reasons of Ready of a " + kind + ".") {
			all = append(all, kind+" Ready/"+reason)
		}
	}
	page, err := os.ReadFile(filepath.Join("..", "docs", "reference", "conditions.md"))
	Expect(err).NotTo(HaveOccurred())
	hidden := regexp.MustCompile("\\| True \\+ RenewalFailed \\| False `(\\w+)` \\|").FindAllStringSubmatch(string(page), -1)
	Expect(hidden).NotTo(BeEmpty())
	for _, row := range hidden {
		all = append(all, "PipesToken RenewalFailed/"+row[1])
	}
	return all
}

// reasonsUnder returns the values of the constants whose comment in conditions.go begins with
// heading.
func reasonsUnder(heading string) []string {
	GinkgoHelper()
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", "api", "v1alpha1", "conditions.go"), nil, parser.ParseComments)
	Expect(err).NotTo(HaveOccurred())
	var reasons []string
	for _, declaration := range file.Decls {
		constants, ok := declaration.(*ast.GenDecl)
		if !ok || !strings.HasPrefix(constants.Doc.Text(), heading) {
			continue
		}
		for _, spec := range constants.Specs {
			literal := spec.(*ast.ValueSpec).Values[0].(*ast.BasicLit)
			reason, err := strconv.Unquote(literal.Value)
			Expect(err).NotTo(HaveOccurred())
			reasons = append(reasons, reason)
		}
	}
	Expect(reasons).NotTo(BeEmpty(), heading)
	return reasons
}

// These specs reach the situations that no other spec reaches, or that no other spec compares.
var _ = Describe("Argo CD and kstatus agree", func() {
	It("on objects that the operator has not looked at", func() {
		w := newWorld()
		token := w.token("alice")
		w.create(token)
		Expect(conditionsOf(w.reload(token))).To(ConsistOf("Ready=Unknown/Pending"))
		Expect(kstatusOf(token)).To(Equal(status.InProgressStatus))
		environment := w.environment()
		Expect(user.Get(w.ctx, client.ObjectKeyFromObject(environment), environment)).To(Succeed())
		Expect(environment.Status.Conditions).To(HaveLen(1))
		Expect(kstatusOf(environment)).To(Equal(status.InProgressStatus))
	})

	It("on objects that have changed since the operator looked at them", func() {
		w := running()
		token := w.synced("alice")
		w.operator.stop()
		w.edit(token, func() { token.Spec.Suspend = true })
		Expect(kstatusOf(token)).To(Equal(status.InProgressStatus))
		environment := w.environment()
		w.edit(environment, func() { environment.Spec.Grants = nil })
		Expect(kstatusOf(environment)).To(Equal(status.InProgressStatus))
	})

	It("on a PipesEnvironment whose API key the operator may not read", func() {
		w := newWorld()
		w.start(func(r *pipestoken.Reconciler) { r.Connections.Reader = forbidding{r.Connections.Reader} })
		w.waitForEnvironment(v1alpha1.APIKeyForbiddenReason)
	})
})

// forbidding refuses to read Secrets, as an API server does if the operator has no right to.
type forbidding struct{ client.Reader }

func (f forbidding) Get(ctx context.Context, key types.NamespacedName, object client.Object, options ...client.GetOption) error {
	if _, ok := object.(*corev1.Secret); ok {
		return apierrors.NewForbidden(corev1.Resource("secrets"), key.Name, errors.New("no role binds the operator"))
	}
	return f.Reader.Get(ctx, key, object, options...)
}

// These shapes of a status are rare, or only somebody other than the operator can create them.
func TestArgoCDHealthCheckAgreesWithKstatus(t *testing.T) {
	const (
		waiting   = "Waiting for the operator"
		newChange = "Waiting for the operator to look at the latest change"
	)
	type content = map[string]any
	// conditions parses conditions that are written as Type=Status/Message.
	conditions := func(written ...string) []any {
		list := []any{}
		for _, w := range written {
			kind, rest, _ := strings.Cut(w, "=")
			value, message, _ := strings.Cut(rest, "/")
			list = append(list, content{"type": kind, "status": value, "message": message})
		}
		return list
	}
	// The generation of each object is 2.
	observed := func(generation int64, written ...string) content {
		return content{"observedGeneration": generation, "conditions": conditions(written...)}
	}
	tests := map[string]struct {
		status          any
		health, message string
		// kstatus is the result of kstatus if the health check decides differently on purpose.
		// kstatus reports an object as done if the object has no condition that kstatus knows.
		// The API server gives every object that is created without a status a status with a
		// condition. So an object without any condition has been changed by somebody else, and
		// the operator has not reconciled it yet.
		kstatus status.Status
	}{
		"no status":              {nil, "Progressing", waiting, status.CurrentStatus},
		"an empty status":        {content{}, "Progressing", waiting, status.CurrentStatus},
		"no conditions":          {content{"observedGeneration": int64(2)}, "Progressing", waiting, status.CurrentStatus},
		"null for conditions":    {content{"observedGeneration": int64(2), "conditions": nil}, "Progressing", waiting, status.CurrentStatus},
		"an empty list":          {observed(2), "Progressing", waiting, status.CurrentStatus},
		"only another condition": {observed(2, "Audited=True/x"), "Progressing", waiting, status.CurrentStatus},

		"no conditions, stale": {content{"observedGeneration": int64(1)}, "Progressing", waiting, ""},
		"an empty list, stale": {observed(1), "Progressing", newChange, ""},
		"Ready, stale":         {observed(1, "Ready=True/x"), "Progressing", newChange, ""},
		"Stalled, stale":       {observed(1, "Ready=False/x", "Stalled=True/x"), "Progressing", newChange, ""},
		"Reconciling, stale":   {observed(1, "Ready=False/x", "Reconciling=True/x"), "Progressing", newChange, ""},
		"a generation ahead":   {observed(3, "Ready=True/x"), "Progressing", newChange, ""},

		"new":                           {content{"conditions": conditions("Ready=Unknown/shown")}, "Progressing", "shown", ""},
		"Ready, no generation":          {content{"conditions": conditions("Ready=True/shown")}, "Healthy", "shown", ""},
		"Stalled, no generation":        {content{"conditions": conditions("Ready=False/shown", "Stalled=True/shown")}, "Degraded", "shown", ""},
		"Ready":                         {observed(2, "Ready=True/shown"), "Healthy", "shown", ""},
		"Ready and other conditions":    {observed(2, "Connected=False/x", "Ready=True/shown", "GrantsValid=False/x"), "Healthy", "shown", ""},
		"Ready, renewal fails":          {observed(2, "Ready=True/x", "RenewalFailed=True/shown"), "Healthy", "shown", ""},
		"renewal fails, Ready":          {observed(2, "RenewalFailed=True/shown", "Ready=True/x"), "Healthy", "shown", ""},
		"Ready, renewal does not fail":  {observed(2, "Ready=True/shown", "RenewalFailed=False/x"), "Healthy", "shown", ""},
		"Ready, not Stalled":            {observed(2, "Ready=True/shown", "Stalled=False/x"), "Healthy", "shown", ""},
		"Ready, not Reconciling":        {observed(2, "Ready=True/shown", "Reconciling=False/x"), "Healthy", "shown", ""},
		"Ready, yet Stalled":            {observed(2, "Ready=True/x", "Stalled=True/shown"), "Degraded", "shown", ""},
		"Ready, yet Reconciling":        {observed(2, "Ready=True/x", "Reconciling=True/shown"), "Progressing", "shown", ""},
		"not Ready":                     {observed(2, "Ready=False/shown"), "Progressing", "shown", ""},
		"not Ready, renewal fails":      {observed(2, "Ready=False/shown", "RenewalFailed=True/x"), "Progressing", "shown", ""},
		"not Ready, Reconciling":        {observed(2, "Ready=False/shown", "Reconciling=True/shown"), "Progressing", "shown", ""},
		"not Ready, Stalled":            {observed(2, "Ready=False/shown", "Stalled=True/shown"), "Degraded", "shown", ""},
		"Stalled, not Ready":            {observed(2, "Stalled=True/shown", "Ready=False/shown"), "Degraded", "shown", ""},
		"Unknown":                       {observed(2, "Ready=Unknown/shown"), "Progressing", "shown", ""},
		"Unknown, Reconciling":          {observed(2, "Ready=Unknown/shown", "Reconciling=True/shown"), "Progressing", "shown", ""},
		"only Stalled":                  {observed(2, "Stalled=True/shown"), "Degraded", "shown", ""},
		"only Reconciling":              {observed(2, "Reconciling=True/shown"), "Progressing", "shown", ""},
		"Stalled and then Reconciling":  {observed(2, "Stalled=True/shown", "Reconciling=True/x"), "Degraded", "shown", ""},
		"Reconciling, and then Stalled": {observed(2, "Reconciling=True/shown", "Stalled=True/x"), "Progressing", "shown", ""},
	}
	for _, kind := range []string{"PipesToken", "PipesEnvironment"} {
		for name, test := range tests {
			t.Run(kind+"/"+name, func(t *testing.T) {
				g := NewWithT(t)
				object := &unstructured.Unstructured{Object: content{"metadata": content{"generation": int64(2)}}}
				object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
				if test.status != nil {
					object.Object["status"] = test.status
				}
				health, message, err := argoHealth(object)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(health).To(Equal(test.health))
				g.Expect(message).To(Equal(test.message))
				result, err := status.Compute(object)
				g.Expect(err).NotTo(HaveOccurred())
				if test.kstatus == "" {
					g.Expect(argoHealthOf[result.Status]).To(Equal(health))
					return
				}
				g.Expect(result.Status).To(Equal(test.kstatus))
				g.Expect(argoHealthOf[result.Status]).NotTo(Equal(health), "they agree: this is no difference")
			})
		}
	}
}

// Users copy the health check from the page, so the page must contain exactly the tested script.
func TestArgoCDPageHasTheHealthCheck(t *testing.T) {
	g := NewWithT(t)
	page, err := os.ReadFile(filepath.Join("..", "docs", "guides", "argocd.md"))
	g.Expect(err).NotTo(HaveOccurred())
	script, err := os.ReadFile(healthCheckFile)
	g.Expect(err).NotTo(HaveOccurred())
	snippets := regexp.MustCompile("(?s)```yaml\n(apiVersion: v1\n.*?)```").FindAllSubmatch(page, -1)
	g.Expect(snippets).To(HaveLen(1))
	snippet := &corev1.ConfigMap{}
	g.Expect(yaml.UnmarshalStrict(snippets[0][1], snippet)).To(Succeed())
	g.Expect(snippet.Name).To(Equal("argocd-cm"))
	g.Expect(snippet.Data).To(Equal(map[string]string{
		"resource.customizations.health.pipes.workos.com_PipesToken":       string(script),
		"resource.customizations.health.pipes.workos.com_PipesEnvironment": string(script),
	}))
}
