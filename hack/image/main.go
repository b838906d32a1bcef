// Command image builds container images without a Docker engine. It writes archives for `docker
// load`, `kind load image-archive` and `ctr images import`. `make image` and `make images` run it.
//
// An image depends only on the command line and on the input files: the same input gives the same
// archive, byte by byte.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const usage = `image --binary FILE [FLAGS] builds the image of one static Go program, as the Dockerfile does.
image --tools [FLAGS] builds an image of sh, coreutils, git, curl and others, from the programs of this machine
and the libraries that they need. It is for pods on a machine that reaches no registry.
`

// options are the values of the flags.
type options struct {
	tools     bool
	binary    string
	output    string
	version   string
	platform  string
	tags      []name.Tag
	additions map[string]string // files of this machine, by their path in the image
}

func main() {
	o := options{additions: map[string]string{}}
	flag.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flag.PrintDefaults()
	}
	flag.BoolVar(&o.tools, "tools", false, "build the image of tools")
	flag.StringVar(&o.binary, "binary", "", "the program")
	flag.StringVar(&o.output, "output", "", "the archive to write")
	flag.StringVar(&o.version, "version", "dev", "the label org.opencontainers.image.version")
	flag.StringVar(&o.platform, "platform", "linux/"+runtime.GOARCH, "the platform of the programs")
	flag.Func("tag", "the name of the image; may be repeated", o.tag)
	flag.Func("add", "PATH=FILE: one more static Go program for --tools; may be repeated", o.add)
	flag.Parse()
	if err := run(o, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func (o *options) tag(text string) error {
	tag, err := name.NewTag(text)
	o.tags = append(o.tags, tag)
	return err
}

func (o *options) add(text string) error {
	to, file, _ := strings.Cut(text, "=")
	if !path.IsAbs(to) || file == "" {
		return errors.New("write it as PATH=FILE, such as /usr/bin/server=bin/server")
	}
	o.additions[to] = file
	return nil
}

// run builds an image, and prints a summary in one line.
func run(o options, arguments []string) error {
	if len(arguments) > 0 || len(o.tags) == 0 || o.output == "" || o.tools == (o.binary != "") {
		return errors.New("it takes a --tag, an --output, and either --binary or --tools: see image --help")
	}
	platform, err := v1.ParsePlatform(o.platform)
	if err != nil {
		return err
	}
	describe := programImage
	if o.tools {
		describe = toolsImage
	}
	files, config, err := describe(o, *platform)
	if err != nil {
		return err
	}
	image, err := build(files, config, *platform)
	if err != nil {
		return err
	}
	if err := save(image, o.tags, o.output); err != nil {
		return err
	}
	id, err := image.ConfigName()
	fmt.Printf("image: %s for %s in %s: %s\n", o.tags[0], platform, o.output, id)
	return err
}
