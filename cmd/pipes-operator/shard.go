package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"

	"github.com/pipes-operator/pipes-operator/controllers"
)

// shardOptions are the flags of one of several operators that share the PipesTokens of a cluster.
type shardOptions struct {
	watchLabelSelector string
	controllerRing     string
	shardName          string
	upstreamShare      float64
}

func (o *shardOptions) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.watchLabelSelector, "watch-label-selector", o.watchLabelSelector,
		"Only look after PipesTokens with these labels, and only write the status of PipesEnvironments with them. Empty: all.")
	flags.StringVar(&o.controllerRing, "controller-ring", o.controllerRing,
		"The ControllerRing (sharding.timebertt.dev) whose sharder assigns PipesTokens and PipesEnvironments to this process. Empty: none does.")
	flags.StringVar(&o.shardName, "shard-name", o.shardName, "The name of this process in the ControllerRing, and of its Lease. Empty: that of its pod, or host.")
	flags.Float64Var(&o.upstreamShare, "upstream-share", o.upstreamShare,
		"The part of each requestsPerMinute that this shard may use: 0.33 for one of three. All shards together must not have more than 1.")
}

func (o *shardOptions) validate() (errs []error) {
	if _, err := o.shard(); err != nil {
		errs = append(errs, err)
	}
	if isPart := o.upstreamShare > 0 && o.upstreamShare <= 1; !isPart { // nor is NaN
		errs = append(errs, fmt.Errorf("--upstream-share: %v is not a part: write 0.33 for one of three shards", o.upstreamShare))
	}
	if o.controllerRing == "" {
		return errs
	}
	if problems := validation.IsDNS1123Subdomain(o.controllerRing); len(problems) > 0 || len(o.controllerRing) > validation.LabelValueMaxLength {
		errs = append(errs, fmt.Errorf("--controller-ring: %q is not the name of a ControllerRing: at most %d characters, such as pipes-operator",
			o.controllerRing, validation.LabelValueMaxLength))
	}
	if name, err := o.nameInRing(); err == nil { // else shard has said so
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			errs = append(errs, fmt.Errorf("--shard-name: %q cannot be the name of a Lease and the value of a label: %s", name, problems[0]))
		}
	}
	if o.watchLabelSelector != "" {
		errs = append(errs, errors.New("--watch-label-selector: the ControllerRing says which PipesTokens are this shard's: leave it out with --controller-ring"))
	}
	return errs
}

// shard is the part of all PipesTokens that this process looks after.
func (o *shardOptions) shard() (controllers.Shard, error) {
	if o.controllerRing != "" {
		name, err := o.nameInRing()
		return controllers.RingShard(o.controllerRing, name), err
	}
	selector, err := labels.Parse(o.watchLabelSelector)
	if err != nil {
		return controllers.Shard{}, fmt.Errorf("--watch-label-selector: %w", err)
	}
	return controllers.SelectedShard(selector), nil
}

const defaultElectionID = "pipes-operator.pipes.workos.com"

// electionID is the name of the Lease. Shards must not have one together: all but one would stand by. So a selector, however it is
// written, has a Lease of its own.
func (o *shardOptions) electionID() string {
	selector, err := labels.Parse(o.watchLabelSelector)
	if err != nil || selector.Empty() {
		return defaultElectionID
	}
	sum := sha256.Sum256([]byte(selector.String()))
	return hex.EncodeToString(sum[:5]) + "." + defaultElectionID
}

// nameInRing is the name of this shard in its ring. In a pod the host has the pod's name.
func (o *shardOptions) nameInRing() (string, error) {
	if o.shardName != "" {
		return o.shardName, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("--shard-name: set it, because the name of the host is not to be had: %w", err)
	}
	return name, nil
}

// ringLease is the Lease by which a sharder knows the shard: it has the name of its holder, and a label with that of the ring. A shard
// works as long as it holds it, as a leader does. An empty namespace is the operator's own.
func (o *shardOptions) ringLease(kubeconfig *rest.Config, namespace string) (resourcelock.Interface, error) {
	if namespace == "" {
		text, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
		if err != nil {
			return nil, fmt.Errorf("finding the namespace of the Lease (outside of a cluster set --leader-election-namespace): %w", err)
		}
		namespace = strings.TrimSpace(string(text))
	}
	name, err := o.nameInRing()
	if err != nil {
		return nil, err
	}
	leases, err := kubernetes.NewForConfig(rest.AddUserAgent(rest.CopyConfig(kubeconfig), "leader-election"))
	if err != nil {
		return nil, err
	}
	return resourcelock.NewWithLabels(resourcelock.LeasesResourceLock, namespace, name, leases.CoreV1(), leases.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: name}, map[string]string{controllers.RingLabel: o.controllerRing})
}
