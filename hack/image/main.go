// Command image builds container images without a Docker engine. It writes archives for `docker
// load`, `kind load image-archive` and `ctr images import`. `make image` and `make images` run
// it.
//
// An image depends only on the command line and on the input files: the same input gives the
// same archive, byte by byte.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

const (
	exitFailed = 1
	exitUsage  = 2

	usage = `Builds container images without a Docker engine, as archives for docker load, kind load image-archive and
ctr images import.

  image operator  --binary FILE --tag NAME --output FILE [--version VERSION] [--ca-bundle FILE]
  image simulator --binary FILE --tag NAME --output FILE [--version VERSION] [--ca-bundle FILE]
  image pause     --binary FILE --tag NAME --output FILE [--version VERSION] [--ca-bundle FILE]
  image tools     --tag NAME --output FILE [--add PATH=FILE] [--ca-bundle FILE]

operator is what the Dockerfile makes: one static program, CA certificates and a user without rights. simulator is the
same with the simulated WorkOS, and pause with what holds a pod of the local cluster. tools has sh, coreutils, git and
curl of this machine with the libraries that they need, for pods on a machine that reaches no registry.

Flags:
  --binary FILE      the program
  --tag NAME         the name of the image, such as pipes-operator:dev; may be repeated
  --output FILE      the archive to write
  --version VERSION  the label org.opencontainers.image.version; dev when it is not given
  --ca-bundle FILE   the CA certificates; those of this machine when it is not given
  --add PATH=FILE    one more static program, and its path in the image; may be repeated
`
)

// usageError is an invalid command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func main() {
	os.Exit(run(os.Args[1:], thisMachine(), os.Stdout, os.Stderr))
}

func run(args []string, m machine, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return 0
	}
	if err == nil {
		err = produce(o, m, stdout)
	}
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(*usageError)):
		return complain(stderr, err, exitUsage)
	default:
		return complain(stderr, err, exitFailed)
	}
}

func complain(stderr io.Writer, err error, code int) int {
	_, _ = fmt.Fprintln(stderr, "image:", err)
	return code
}

// produce writes the archive, and then prints a summary in a single line.
func produce(o options, m machine, stdout io.Writer) error {
	d, err := o.design(m)
	if err != nil {
		return err
	}
	image, err := d.build()
	if err != nil {
		return err
	}
	size, err := save(o.output, o.tags, image)
	if err != nil {
		return err
	}
	id, err := image.ConfigName()
	if err != nil {
		return fmt.Errorf("digesting the image: %w", err)
	}
	_, err = fmt.Fprintf(stdout, "image: %s, %s, linux/%s, user %s, %.1f MiB of files, %.1f MiB in %s\n",
		o.names(), id, d.arch, d.user(), mebibytes(d.files.size()), mebibytes(size), o.output)
	return err
}

func (o options) design(m machine) (design, error) {
	if o.image == "tools" {
		return toolsImage(o, m)
	}
	return programImage(o, m)
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
