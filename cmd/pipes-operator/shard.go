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

	"github.com/pipes-operator/pipes-operator/internal/sharding"
)

// shardOptions are the flags of an operator that shares the PipesTokens of a cluster with other
// operators.
type shardOptions struct {
	watchLabelSelector string
	controllerRing     string
	shardName          string
	upstreamShare      float64
}

func (o *shardOptions) bind(flags *flag.FlagSet) {
	flags.StringVar(&o.watchLabelSelector, "watch-label-selector", o.watchLabelSelector,
		"Only look after PipesTokens with these labels, "+
			"and only write the status of PipesEnvironments with them. Empty: all.")
	flags.StringVar(&o.controllerRing, "controller-ring", o.controllerRing,
		"The ControllerRing (sharding.timebertt.dev) whose sharder assigns PipesTokens and PipesEnvironments "+
			"to this process. Empty: none does.")
	flags.StringVar(&o.shardName, "shard-name", o.shardName,
		"The name of this process in the ControllerRing, and of its Lease. Empty: that of its pod, or host.")
	flags.Float64Var(&o.upstreamShare, "upstream-share", o.upstreamShare,
		"The part of each requestsPerMinute that this shard may use: 0.33 for one of three. "+
			"All shards together must not have more than 1.")
}

func (o *shardOptions) validate() (errs []error) {
	if _, err := o.shard(); err != nil {
		errs = append(errs, err)
	}
	if isPart := o.upstreamShare > 0 && o.upstreamShare <= 1; !isPart { // NaN is not a part either
		errs = append(errs,
			fmt.Errorf("--upstream-share: %v is not a part: write 0.33 for one of three shards", o.upstreamShare))
	}
	if o.controllerRing == "" {
		return errs
	}
	if problems := validation.IsDNS1123Subdomain(o.controllerRing); len(problems) > 0 ||
		len(o.controllerRing) > validation.LabelValueMaxLength {
		errs = append(errs, fmt.Errorf("--controller-ring: %q is not the name of a ControllerRing: "+
			"at most %d characters, such as pipes-operator", o.controllerRing, validation.LabelValueMaxLength))
	}
	if name, err := o.nameInRing(); err == nil { // o.shard has already reported the error
		if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
			errs = append(errs,
				fmt.Errorf("--shard-name: %q cannot be the name of a Lease and the value of a label: %s", name, problems[0]))
		}
	}
	if o.watchLabelSelector != "" {
		errs = append(errs, errors.New("--watch-label-selector: "+
			"the ControllerRing says which PipesTokens are this shard's: leave it out with --controller-ring"))
	}
	return errs
}

// shard returns the set of PipesTokens that this process handles.
func (o *shardOptions) shard() (sharding.Shard, error) {
	if o.controllerRing != "" {
		name, err := o.nameInRing()
		return sharding.Ring(o.controllerRing, name), err
	}
	selector, err := labels.Parse(o.watchLabelSelector)
	if err != nil {
		return sharding.Shard{}, fmt.Errorf("--watch-label-selector: %w", err)
	}
	return sharding.Selected(selector), nil
}

const defaultElectionID = "pipes-operator.pipes.workos.com"

// electionID returns the name of the Lease. Shards must not share a Lease, because then only one
// of them would work. Therefore each selector has its own Lease. Two spellings of the same
// selector have the same Lease.
func (o *shardOptions) electionID() string {
	selector, err := labels.Parse(o.watchLabelSelector)
	if err != nil || selector.Empty() {
		return defaultElectionID
	}
	sum := sha256.Sum256([]byte(selector.String()))
	return hex.EncodeToString(sum[:5]) + "." + defaultElectionID
}

// nameInRing returns the name of this shard in its ring. The default is the host name, which in
// a pod is the name of the pod.
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

// ringLease returns the Lease by which a sharder recognizes the shard. The name of the Lease is
// the name of its holder, and its label is the name of the ring. A shard works only while it
// holds the Lease, like a leader. An empty namespace stands for the operator's own namespace.
func (o *shardOptions) ringLease(kubeconfig *rest.Config, namespace string) (resourcelock.Interface, error) {
	if namespace == "" {
		text, err := os.ReadFile("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
		if err != nil {
			return nil,
				fmt.Errorf("finding the namespace of the Lease (outside of a cluster set --leader-election-namespace): %w", err)
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
	return resourcelock.NewWithLabels(resourcelock.LeasesResourceLock, namespace, name,
		leases.CoreV1(), leases.CoordinationV1(),
		resourcelock.ResourceLockConfig{Identity: name}, map[string]string{sharding.RingLabel: o.controllerRing})
}
