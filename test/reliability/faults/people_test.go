//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/workossim"
	"github.com/pipes-operator/pipes-operator/test/harness"
)

// secondKey is the API key that replaces apiKey in the first spell. In the second spell apiKey
// replaces secondKey.
const secondKey = "sk_test_canary_second"

// people are users, strangers and administrators. Each of their actions affects one object, or
// one PipesEnvironment.
type people struct {
	storm    *storm
	random   *rand.Rand
	citizens []*citizen
	// faults are the faults that WorkOS has not shown to a single connection yet, in random
	// order.
	faults []workossim.FaultKind
	// freshKey is the API key that replaces the current key.
	freshKey string

	later sync.WaitGroup
}

// deed is an action of people.
type deed struct {
	name string
	do   func(context.Context, *citizen) error
}

// bustle runs a random action every half a second or so, until ctx ends. Then it waits until
// every action that has begun is complete: a user who has disconnected connects again.
func (p *people) bustle(ctx context.Context) {
	deeds := []deed{
		{"WorkOS misbehaves to one connection", p.misbehave}, {"WorkOS misbehaves to one connection", p.misbehave},
		{"a user disconnects, and connects again", p.disconnect}, {"a token expires early", p.expire},
		{"a Secret is edited", p.editSecret}, {"a Secret is deleted", p.deleteSecret}, {"a Secret is relabelled", p.relabelSecret},
		{"a PipesToken is deleted and created again", p.recreate}, {"a refresh is requested", p.requestRefresh},
		{"a PipesToken is edited", p.edit},
	}
	for ctx.Err() == nil {
		d := deeds[p.random.IntN(len(deeds))]
		p.storm.note(d.name)
		if err := d.do(ctx, anyHealthy(p.random, p.citizens)); err != nil {
			p.must(fmt.Errorf("%s: %w", d.name, err))
		}
		pass(ctx, 200*time.Millisecond+time.Duration(p.random.Int64N(int64(600*time.Millisecond))))
	}
	p.later.Wait()
}

// govern withdraws grants and restores them, again and again, and replaces the API key once.
func (p *people) govern(ctx context.Context) {
	pass(ctx, 10*time.Second)
	rotated := sync.OnceFunc(func() { p.later.Go(func() { p.rotateKey() }) })
	for ctx.Err() == nil {
		rotated()
		p.storm.note("grants withdrawn, and given back")
		var grants []v1alpha1.Grant
		from := time.Now()
		p.must(p.change(p.environment(), func(object client.Object) {
			environment := object.(*v1alpha1.PipesEnvironment)
			// If the answer to a successful update was lost, the update is tried again.
			if environment.Spec.Grants != nil {
				grants, environment.Spec.Grants = environment.Spec.Grants, nil
			}
		}))
		pass(ctx, 12*time.Second)
		p.must(p.change(p.environment(), func(object client.Object) { object.(*v1alpha1.PipesEnvironment).Spec.Grants = grants }))
		p.storm.troubles.add(trouble{from: from, to: time.Now().Add(settled), what: "there is no grant", environment: sharedEnvironment})
		pass(ctx, 20*time.Second)
	}
	p.later.Wait()
}

// must notes an error, which fails the test at the end.
func (p *people) must(err error) {
	if err != nil {
		p.storm.fleet.noteError(err)
	}
}

func (p *people) environment() *v1alpha1.PipesEnvironment {
	return &v1alpha1.PipesEnvironment{ObjectMeta: metav1.ObjectMeta{Namespace: harness.Namespace, Name: sharedEnvironment}}
}

// rotateKey rotates the API key as the documentation describes: WorkOS accepts both keys for more
// than a minute.
func (p *people) rotateKey() {
	p.storm.note("API key replaced")
	p.storm.upstream.SetAPIKeys(apiKey, secondKey)
	p.must(p.change(keySecretIn(harness.Namespace), func(object client.Object) {
		object.(*corev1.Secret).Data[keyEntry] = []byte(p.freshKey)
	}))
	<-time.After(75 * time.Second)
	p.storm.upstream.SetAPIKeys(p.freshKey)
}

func (p *people) misbehave(_ context.Context, c *citizen) error {
	if len(p.faults) == 0 {
		p.faults = workossim.FaultKinds()
		p.random.Shuffle(len(p.faults), func(i, j int) { p.faults[i], p.faults[j] = p.faults[j], p.faults[i] })
	}
	kind := p.faults[0]
	p.faults = p.faults[1:]
	f := faultOf(kind, 1)
	f.Match = &c.connection.ID
	p.storm.note("WorkOS: " + string(kind) + " for one")
	p.storm.upstream.Inject(f)
	return nil
}

func (p *people) disconnect(_ context.Context, c *citizen) error {
	states := []workossim.State{workossim.NotInstalled, workossim.NeedsReauthorization, "on_holiday"}
	p.storm.upstream.SetState(c.connection.ID, states[p.random.IntN(len(states))])
	span := 3*time.Second + time.Duration(p.random.Int64N(int64(20*time.Second)))
	p.later.Go(func() {
		<-time.After(span)
		p.storm.upstream.SetState(c.connection.ID, workossim.Connected)
	})
	return nil
}

func (p *people) expire(_ context.Context, c *citizen) error {
	p.storm.upstream.Expire(c.connection.ID)
	return nil
}

func (p *people) editSecret(_ context.Context, c *citizen) error {
	return p.change(c.secret(), func(object client.Object) {
		secret := object.(*corev1.Secret)
		for key := range secret.Data {
			secret.Data[key] = []byte("theirs")
			return
		}
	})
}

func (p *people) relabelSecret(_ context.Context, c *citizen) error {
	return p.change(c.secret(), func(object client.Object) {
		labels := object.GetLabels()
		delete(labels, v1alpha1.ManagedByLabel)
		object.SetLabels(labels)
	})
}

func (p *people) deleteSecret(_ context.Context, c *citizen) error { return p.delete(c.secret()) }

func (p *people) recreate(_ context.Context, c *citizen) error {
	if err := p.delete(c.object()); err != nil {
		return err
	}
	return p.insist(func(ctx context.Context) error {
		return client.IgnoreAlreadyExists(p.storm.plane.root.Create(ctx, c.object()))
	})
}

func (p *people) requestRefresh(_ context.Context, c *citizen) error {
	return p.change(c.object(), func(object client.Object) {
		object.SetAnnotations(map[string]string{v1alpha1.RefreshRequestedAtAnnotation: time.Now().Format(time.RFC3339Nano)})
	})
}

func (p *people) edit(_ context.Context, c *citizen) error {
	return p.change(c.object(), func(object client.Object) {
		token := object.(*v1alpha1.PipesToken)
		token.Spec.RenewBefore = &metav1.Duration{Duration: 3*time.Minute + time.Duration(p.random.IntN(60))*time.Second}
	})
}

func (c *citizen) secret() *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.namespace, Name: c.secretName()}}
}

// change changes an object as kubectl edit does. It ignores objects that do not exist.
func (p *people) change(object client.Object, change func(client.Object)) error {
	return p.insist(func(ctx context.Context) error {
		if err := p.storm.plane.root.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return client.IgnoreNotFound(err)
		}
		change(object)
		return client.IgnoreNotFound(p.storm.plane.root.Update(ctx, object))
	})
}

func (p *people) delete(object client.Object) error {
	return p.insist(func(ctx context.Context) error {
		return client.IgnoreNotFound(p.storm.plane.root.Delete(ctx, object))
	})
}

// insist calls try until it succeeds, because the API server is down at times.
func (p *people) insist(try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil || ctx.Err() != nil {
			return err
		}
		pass(ctx, 100*time.Millisecond)
	}
}
