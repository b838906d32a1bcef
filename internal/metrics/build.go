package metrics

import (
	"cmp"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// RegisterBuild registers a gauge with the version of the operator as its label. commit is empty
// if it is unknown.
func RegisterBuild(registerer prometheus.Registerer, version, commit string) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pipes_operator_build_info",
		Help: "1, with the version of the operator, its commit and the version of Go as labels.",
		ConstLabels: prometheus.Labels{
			"version": version, "commit": cmp.Or(commit, "unknown"), "goversion": runtime.Version(),
		},
	})
	build.Set(1)
	return registerer.Register(build)
}
