//go:build reliability

package tenancy_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/reliability/figures"
)

// mostGrowth is the largest allowed growth of the operator's resident set, in MiB, whatever the
// users of one namespace do.
const mostGrowth = 32

// ways are the ways in which users can put bytes into the operator's memory. put returns after
// everything exists.
var ways = []struct {
	name string
	put  func(c *cluster, g *WithT)
}{
	{"1,000 Secrets with the operator's label and annotations of 250 kB", manySecrets(1000, func(meta *metav1.ObjectMeta, n int) {
		meta.Annotations = map[string]string{"note": text(n, 250_000)}
	})},
	{"200 Secrets with 2,000 labels", manySecrets(200, func(meta *metav1.ObjectMeta, n int) {
		for i := range 2000 {
			meta.Labels[fmt.Sprintf("label-%d-%d", n, i)] = text(n, 63)
		}
	})},
	{"200 Secrets with 1,000 owners and 1,000 finalizers", manySecrets(200, func(meta *metav1.ObjectMeta, n int) {
		for i := range 1000 {
			meta.Finalizers = append(meta.Finalizers, fmt.Sprintf("example.com/finalizer-%d-%d", n, i))
			meta.OwnerReferences = append(meta.OwnerReferences, metav1.OwnerReference{
				APIVersion: "v1", Kind: "ConfigMap", Name: text(n, 100), UID: "8d1b3a52-6f0c-4c6b-9a54-1f0f0a6f7c13"})
		}
	})},
	{"a Secret with 2,800 keys, created as pipes-operator and deleted, 160 times", deletedSecrets},
	{"300 PipesTokens with annotations of 250 kB", suspendedTokens(300, func(token *v1alpha1.PipesToken, n int) {
		token.Annotations = map[string]string{"note": text(n, 250_000)}
	})},
	{"600 PipesTokens with a template of 64 KB", suspendedTokens(600, func(token *v1alpha1.PipesToken, n int) {
		token.Spec.SecretTemplate = &v1alpha1.SecretTemplate{Annotations: map[string]v1alpha1.AnnotationValue{}}
		for i := range 16 {
			token.Spec.SecretTemplate.Annotations[fmt.Sprintf("note-%d", i)] = v1alpha1.AnnotationValue(text(n, 4000))
		}
	})},
	{"150 PipesTokens whose tokens have 256 scopes of 512 characters", func(c *cluster, g *WithT) {
		c.syncedTokens(g, 150, func(connection *workossim.Connection) {
			for i := range 256 {
				connection.Scopes = append(connection.Scopes, text(i, 512))
			}
		})
	}},
	{"50 PipesTokens renewed 5 times, with 250 kB of annotations on their Secrets", renewedSecrets},
	{"100 PipesEnvironments with annotations of 250 kB", manyEnvironments},
	{"600 connections to the metrics port with bogus bearer tokens, for 10 s", strangersAtTheMetricsPort},
	{"200 Namespaces with annotations of 250 kB and 1,000 labels", manyNamespaces},
}

// Each way is measured from the memory of an operator that has just started: while users create
// the objects, and in an operator that starts when the objects already exist.
func TestMemory(t *testing.T) {
	listen()
	c := startCluster(t)
	defer c.stop(t)
	var table bytes.Buffer
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(columns, "way\tbefore\tpeak\tafter a restart\tlimit (MiB)")
	most := 0.0
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			g, began := NewWithT(t), time.Now()
			c.restart(t)
			before := c.memory(g, "VmRSS")
			way.put(c, g)
			c.settle(g)
			peak := c.memory(g, "VmHWM")
			c.restart(t)
			restarted := c.memory(g, "VmHWM")
			_, _ = fmt.Fprintf(columns, "%s\t%.0f\t%.0f\t%.0f\t%.0f\n", way.name, before, peak, restarted, before+mostGrowth)
			most = max(most, peak-before, restarted-before)
			t.Logf("%.0f MiB before, at most %.0f, after a restart at most %.0f; in %s", before, peak, restarted, time.Since(began).Round(time.Second))
			g.Expect(peak).To(BeNumerically("<=", before+mostGrowth), "while they come")
			g.Expect(restarted).To(BeNumerically("<=", before+mostGrowth), "after a restart")
			c.removeAll(g)
		})
	}
	_ = columns.Flush()
	t.Logf("\n%s", table.String())
	figures.Record(t, "41-memory", figures.Suite{Name: "Bytes that users of one namespace put into the operator", Figures: []figures.Figure{
		{Name: "ways tried", Value: strconv.Itoa(len(ways))},
		{Name: "largest growth of the resident set (MiB)", Value: fmt.Sprintf("%.0f", most), Promise: fmt.Sprintf("at most %d", mostGrowth)},
	}})
}

// memory reads a value of the operator's memory from the kernel, in MiB.
func (c *cluster) memory(g *WithT, name string) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.operator.PID()))
	g.Expect(err).NotTo(HaveOccurred())
	_, rest, _ := strings.Cut(string(status), name+":")
	line, _, _ := strings.Cut(rest, "kB")
	kilobytes, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
	g.Expect(err).NotTo(HaveOccurred())
	return kilobytes / 1024
}

// removeAll deletes the objects that users have created, one by one: deleting them with one
// request would exceed the API server's request timeout.
func (c *cluster) removeAll(g *WithT) {
	c.remove(g, v1alpha1.GroupVersion.WithKind("PipesTokenList"), client.MatchingLabels{"flood": "true"})
	c.remove(g, v1alpha1.GroupVersion.WithKind("PipesEnvironmentList"), client.MatchingLabels{"flood": "true"})
	c.remove(g, corev1.SchemeGroupVersion.WithKind("SecretList"), client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue})
}

func (c *cluster) remove(g *WithT, kind schema.GroupVersionKind, which client.MatchingLabels) {
	ctx := context.Background()
	list := &metav1.PartialObjectMetadataList{}
	list.SetGroupVersionKind(kind)
	g.Expect(c.root.List(ctx, list, client.InNamespace(floodedNamespace), which)).To(Succeed())
	atOnce(g, len(list.Items), func(n int) error {
		object := &list.Items[n]
		object.SetGroupVersionKind(kind.GroupVersion().WithKind(strings.TrimSuffix(kind.Kind, "List")))
		if len(object.Finalizers) > 0 {
			if err := c.root.Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))); err != nil {
				return err
			}
		}
		return client.IgnoreNotFound(c.root.Delete(ctx, object))
	})
}

// text returns size bytes that differ for each n.
func text(n, size int) string {
	part := fmt.Sprintf("%06d", n)
	return strings.Repeat(part, size/len(part)+1)[:size]
}

// atOnce calls do for each n below count, eight calls at a time.
func atOnce(g *WithT, count int, do func(n int) error) {
	numbers, errs := make(chan int), make(chan error, count)
	var workers sync.WaitGroup
	for range 8 {
		workers.Go(func() {
			for n := range numbers {
				errs <- do(n)
			}
		})
	}
	for n := range count {
		numbers <- n
	}
	close(numbers)
	workers.Wait()
	for range count {
		g.ExpectWithOffset(1, <-errs).To(Succeed())
	}
}

func manySecrets(count int, change func(meta *metav1.ObjectMeta, n int)) func(*cluster, *WithT) {
	return func(c *cluster, g *WithT) {
		atOnce(g, count, func(n int) error {
			secret := newSecret(floodedNamespace, fmt.Sprintf("flood-%d", n), nil)
			secret.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}
			change(&secret.ObjectMeta, n)
			return c.root.Create(context.Background(), secret)
		})
	}
}

func deletedSecrets(c *cluster, g *WithT) {
	atOnce(g, 160, func(n int) error {
		secret := newSecret(floodedNamespace, fmt.Sprintf("flood-%d", n), map[string]string{})
		secret.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}
		for i := range 2800 {
			secret.StringData[text(n, 220)+fmt.Sprintf("%010d", i)] = ""
		}
		if err := c.root.Create(context.Background(), secret, client.FieldOwner("pipes-operator")); err != nil {
			return err
		}
		return c.root.Delete(context.Background(), secret)
	})
}

// suspendedTokens creates suspended PipesTokens: each costs the operator one status write and no
// call to WorkOS.
func suspendedTokens(count int, change func(token *v1alpha1.PipesToken, n int)) func(*cluster, *WithT) {
	return func(c *cluster, g *WithT) {
		atOnce(g, count, func(n int) error {
			token := newPipesToken(fmt.Sprintf("flood-%d", n))
			token.Labels, token.Spec.Suspend = map[string]string{"flood": "true"}, true
			change(token, n)
			return c.root.Create(context.Background(), token)
		})
		for n := range count {
			c.awaitStatus(g, n, func(g Gomega, status v1alpha1.PipesTokenStatus) { g.Expect(status.ObservedGeneration).NotTo(BeZero()) })
		}
	}
}

func (c *cluster) syncedTokens(g *WithT, count int, connected func(*workossim.Connection)) {
	atOnce(g, count, func(n int) error {
		token := newPipesToken(fmt.Sprintf("flood-%d", n))
		token.Labels = map[string]string{"flood": "true"}
		c.connect(token.Name, connected)
		return c.root.Create(context.Background(), token)
	})
	for n := range count {
		c.awaitStatus(g, n, func(g Gomega, status v1alpha1.PipesTokenStatus) { g.Expect(status.ExpirationTime).NotTo(BeNil()) })
	}
}

func (c *cluster) awaitStatus(g *WithT, n int, check func(g Gomega, status v1alpha1.PipesTokenStatus)) {
	g.Eventually(func(g Gomega) {
		token := newPipesToken(fmt.Sprintf("flood-%d", n))
		g.Expect(c.root.Get(context.Background(), client.ObjectKeyFromObject(token), token)).To(Succeed())
		check(g, token.Status)
	}, 2*time.Minute, 20*time.Millisecond).Should(Succeed(), "%s", c.log())
}

// renewedSecrets makes the operator write large Secrets, as often as users can request it.
func renewedSecrets(c *cluster, g *WithT) {
	const count = 50
	ctx := context.Background()
	c.syncedTokens(g, count, func(*workossim.Connection) {})
	patch := func(object client.Object, format string, values ...any) error {
		return c.root.Patch(ctx, object, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, format, values...)))
	}
	atOnce(g, count, func(n int) error {
		return patch(newSecret(floodedNamespace, fmt.Sprintf("flood-%d", n), nil), `{"metadata":{"annotations":{"note":%q}}}`, text(n, 250_000))
	})
	for round := range 5 {
		atOnce(g, count, func(n int) error {
			return patch(newPipesToken(fmt.Sprintf("flood-%d", n)), `{"metadata":{"annotations":{%q:"%d"}}}`, v1alpha1.RefreshRequestedAtAnnotation, round)
		})
		for n := range count {
			c.awaitStatus(g, n, func(g Gomega, status v1alpha1.PipesTokenStatus) {
				g.Expect(status.LastHandledRefreshRequest).To(Equal(strconv.Itoa(round)))
			})
		}
	}
}

func manyEnvironments(c *cluster, g *WithT) {
	atOnce(g, 100, func(n int) error {
		return c.root.Create(context.Background(), &v1alpha1.PipesEnvironment{
			ObjectMeta: metav1.ObjectMeta{Namespace: floodedNamespace, Name: fmt.Sprintf("flood-%d", n),
				Labels: map[string]string{"flood": "true"}, Annotations: map[string]string{"note": text(n, 250_000)}},
			Spec: v1alpha1.PipesEnvironmentSpec{APIKeySecretRef: v1alpha1.SecretKeyReference{Name: "none", Key: "api-key"}},
		})
	})
}

func manyNamespaces(c *cluster, g *WithT) {
	atOnce(g, 200, func(n int) error {
		labels := map[string]string{}
		for i := range 1000 {
			labels[fmt.Sprintf("label-%d-%d", n, i)] = text(n, 63)
		}
		return c.root.Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: fmt.Sprintf("flood-%d", n), Labels: labels, Annotations: map[string]string{"note": text(n, 250_000)}}})
	})
}

// strangersAtTheMetricsPort floods the metrics port, and also checks that this does not delay a
// new token.
func strangersAtTheMetricsPort(c *cluster, g *WithT) {
	undisturbed := c.settle(g)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var strangers sync.WaitGroup
	for n := range 600 {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // nobody checks it
		strangers.Go(func() {
			defer transport.CloseIdleConnections()
			for round := 0; ctx.Err() == nil; round++ {
				request, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+c.metrics+"/metrics", http.NoBody)
				request.Header.Set("Authorization", fmt.Sprintf("Bearer bogus-%d-%d", n, round))
				if answer, err := transport.RoundTrip(request); err == nil {
					_ = answer.Body.Close()
				}
				select { // the metrics port answers with Retry-After: 1
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		})
	}
	slowest := c.slowestWrite(ctx)
	flooded := c.settle(g)
	strangers.Wait()
	// The flood also uses CPU time of this machine. A token takes a call and two writes.
	write := <-slowest
	g.Expect(flooded).To(BeNumerically("<=", max(2*undisturbed, 2*time.Second)+3*write),
		"a new token, which takes %s undisturbed; a bare client's write takes up to %s meanwhile", undisturbed, write)
}

// slowestWrite makes ten writes a second with a plain client until ctx ends. It returns how long
// the slowest write took, or 0 if a write failed.
func (c *cluster) slowestWrite(ctx context.Context) <-chan time.Duration {
	slowest := make(chan time.Duration, 1)
	go func() {
		var longest time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			err := c.root.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: floodedNamespace, GenerateName: "bare-"}})
			if err != nil && ctx.Err() == nil {
				slowest <- 0
				return
			}
			longest = max(longest, time.Since(began))
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		slowest <- longest
	}()
	return slowest
}
