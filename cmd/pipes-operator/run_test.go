package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"testing"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	toolscache "k8s.io/client-go/tools/cache"

	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// A process that gets SIGTERM cancels its watches: the log must not show that as an error.
func TestAWatchThatEndsWithTheProcessIsNoError(t *testing.T) {
	reflector := toolscache.NewReflector(nil, nil, nil, 0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	canceled := &url.Error{Op: "Get", URL: "https://127.0.0.1/api/v1/secrets", Err: context.Canceled}
	for name, test := range map[string]struct {
		ctx    context.Context
		err    error
		logged bool
	}{
		"at the end of the process":               {ended, fmt.Errorf("watching: %w", canceled), false},
		"another error at the end of the process": {ended, errors.New("forbidden"), true},
		"canceled while the process goes on":      {t.Context(), canceled, true},
		"another error while the process goes on": {t.Context(), errors.New("forbidden"), true},
	} {
		t.Run(name, func(t *testing.T) {
			logged := false
			handlers := utilruntime.ErrorHandlers
			defer func() { utilruntime.ErrorHandlers = handlers }()
			utilruntime.ErrorHandlers = []utilruntime.ErrorHandler{func(context.Context, error, string, ...any) { logged = true }}
			watchFailed(test.ctx, reflector, test.err)
			if logged != test.logged {
				t.Errorf("logged: %t", logged)
			}
		})
	}
	if managerOptions(options{}, sharding.Shard{}).Cache.DefaultWatchErrorHandler == nil {
		t.Error("the caches do not use it")
	}
}
