//go:build reliability

package faults_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// wire is a network connection on loopback that can be made bad.
type wire struct {
	proxy *toxiproxy.Proxy
}

// toxic is one way to make a wire bad. The names and attributes are those of toxiproxy.
type toxic struct {
	kind       string
	attributes string
}

// toxics are all toxics of this suite. Each has a noticeable effect, but none alone costs the
// leader its Lease.
var toxics = []toxic{
	{"latency", `{"latency": 400, "jitter": 300}`},
	{"bandwidth", `{"rate": 20}`},
	{"slow_close", `{"delay": 2000}`},
	{"limit_data", `{"bytes": 6000}`},
	{"reset_peer", `{"timeout": 200}`},
	{"timeout", `{"timeout": 0}`}, // half open: data is lost, and neither side gets an error
}

// quiet is a toxiproxy server whose only purpose is to disable logging.
var quiet = sync.OnceValue(func() *toxiproxy.ApiServer {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	return toxiproxy.NewServer(toxiproxy.NewMetricsContainer(prometheus.NewRegistry()), zerolog.Nop())
})

// layWire creates a wire to an address.
func layWire(t *testing.T, name, to string) *wire {
	t.Helper()
	w := &wire{proxy: toxiproxy.NewProxy(quiet(), name, "127.0.0.1:0", to)}
	if err := w.proxy.Start(); err != nil {
		t.Fatalf("laying the wire %s: %v", name, err)
	}
	t.Cleanup(w.proxy.Stop)
	return w
}

// address is the address that the wire listens on.
func (w *wire) address() string { return w.proxy.Listen }

// poison makes the wire bad in both directions.
func (w *wire) poison(bad toxic) error {
	for _, direction := range []string{"upstream", "downstream"} {
		text := fmt.Sprintf(`{"type": %q, "stream": %q, "attributes": %s}`, bad.kind, direction, bad.attributes)
		if _, err := w.proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			return fmt.Errorf("making a wire bad by %s: %w", bad.kind, err)
		}
	}
	return nil
}

// heal makes the wire good again. Connections that have lost data end then, as they would sooner
// or later.
func (w *wire) heal(bad toxic) error {
	for _, direction := range []string{"upstream", "downstream"} {
		if err := w.proxy.Toxics.RemoveToxic(context.Background(), bad.kind+"_"+direction); err != nil {
			return fmt.Errorf("making a wire good again after %s: %w", bad.kind, err)
		}
	}
	return nil
}
