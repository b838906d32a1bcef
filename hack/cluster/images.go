//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
)

// load imports images into the cluster. Pods then need no registry for them.
func load(ctx context.Context, o options, files []string, stdout io.Writer) error {
	if len(files) == 0 {
		return usageError{errors.New("load: name a tarball")}
	}
	if found, _, err := o.place.look(); err != nil || found != ready {
		return cmp.Or(err, errNoCluster)
	}
	for _, file := range files {
		if err := o.place.ctr(ctx, "images", "import", file); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stdout, "cluster: loaded", file); err != nil {
			return err
		}
	}
	return nil
}

// importSandbox imports the sandbox image into containerd. No registry has that image.
func (n *node) importSandbox(ctx context.Context) error {
	return n.place.ctr(ctx, "images", "import", n.sandboxArchive)
}
