package main

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// churn creates 10% more PipesTokens while renewals are due, as fast as the API server accepts
// them, and deletes them at the end.
func churn(ctx context.Context, s *stage, _ floorFigures) (result, error) {
	first, end := s.Objects, s.Objects+max(1, s.Objects/10)
	var created time.Time
	w, err := s.throughWave(ctx, func(ctx context.Context) error {
		s.sayf("churn: creating %d PipesTokens more", end-first)
		created = time.Now()
		if err := s.plane.populate(ctx, first, end); err != nil {
			return err
		}
		return s.await(ctx, "the new ones are Ready", s.patience(), func(context.Context) (string, error) {
			return s.watch.allReadyAmong(first, end)
		})
	})
	if err != nil {
		return result{}, err
	}
	var waited []float64
	histories := s.watch.snapshot()
	for object := first; object < end; object++ {
		waited = append(waited, histories[object].ready.Sub(created).Seconds())
	}
	r := w.result(latenessTarget, fmt.Sprintf("Churn: %d PipesTokens more while renewals are due", end-first),
		seen("new ones are Ready after their creation began, p50, s", quantile(waited, 0.5), ""),
		seen("new ones are Ready after their creation began, max, s", quantile(waited, 1), ""))
	r.Notes = append(r.Notes, "Requests are divided by rotations, and those for the new PipesTokens are among them. "+
		"POST of those is the harness's own.")
	return r, s.remove(ctx, first, end)
}

// remove deletes PipesTokens and their Secrets. It deletes the Secrets because this control
// plane has no garbage collector.
func (s *stage) remove(ctx context.Context, first, end int) error {
	for object := first; object < end; object++ {
		token := newToken(object)
		secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: token.Namespace, Name: token.Name}}
		for _, each := range []client.Object{token, secret} {
			if err := client.IgnoreNotFound(s.plane.root.Delete(ctx, each)); err != nil {
				return fmt.Errorf("deleting PipesTokens: %w", err)
			}
		}
	}
	return s.await(ctx, "they are seen to be gone", s.patience(), func(context.Context) (string, error) {
		if left := len(s.watch.snapshot()) - s.Objects; left > 0 {
			return fmt.Sprintf("%d are left", left), nil
		}
		return "", nil
	})
}
