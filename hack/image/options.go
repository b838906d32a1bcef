package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// options are the values of the command line.
type options struct {
	image     string // a key of singles, or tools
	binary    string
	output    string
	version   string
	caBundle  string
	tags      []name.Tag
	additions []addition
}

// addition is an extra program for the tools image, which does not come from the PATH of this
// machine.
type addition struct {
	path string // in the image
	file string // on this machine
}

func parse(args []string) (options, error) {
	o := options{version: "dev"}
	if len(args) > 0 {
		o.image, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet(o.image, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.output, "output", "", "")
	flags.StringVar(&o.caBundle, "ca-bundle", "", "")
	flags.Func("tag", "", o.tag)
	switch _, single := singles[o.image]; {
	case single:
		flags.StringVar(&o.binary, "binary", "", "")
		flags.StringVar(&o.version, "version", o.version, "")
	case o.image == "tools":
		flags.Func("add", "", o.add)
	case o.image == "-h" || o.image == "-help" || o.image == "--help":
		return o, flag.ErrHelp
	default:
		return o, &usageError{fmt.Errorf("there is no image %q: write operator, simulator, pause or tools", o.image)}
	}
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return o, err
	case err != nil:
		return o, &usageError{fmt.Errorf("%w: image --help has the flags", err)}
	}
	if err := o.validate(flags.Args()); err != nil {
		return o, &usageError{err}
	}
	return o, nil
}

// tag parses a name as docker and kubectl do: the default registry is Docker Hub, and the
// default tag is latest.
func (o *options) tag(text string) error {
	tag, err := name.NewTag(text)
	if err != nil {
		return fmt.Errorf("write it as name:tag, such as pipes-operator:dev: %w", err)
	}
	o.tags = append(o.tags, tag)
	return nil
}

func (o *options) add(text string) error {
	to, file, _ := strings.Cut(text, "=")
	if !path.IsAbs(to) || path.Clean(to) != to || to == "/" || file == "" {
		return errors.New("write it as PATH=FILE, such as /usr/bin/server=bin/server")
	}
	o.additions = append(o.additions, addition{path: to, file: file})
	return nil
}

func (o *options) validate(arguments []string) error {
	_, single := singles[o.image]
	switch {
	case len(arguments) > 0:
		return fmt.Errorf("unexpected argument %q: all options are flags", arguments[0])
	case single && o.binary == "":
		return fmt.Errorf("no --binary: name the program, such as --binary bin/%s", singles[o.image].name)
	case len(o.tags) == 0:
		return errors.New("no --tag: name the image, such as --tag pipes-operator:dev")
	case o.output == "":
		return errors.New("no --output: name the archive to write, such as --output dist/images/pipes-operator.tar")
	}
	return nil
}

// names returns the tags, for messages.
func (o *options) names() string {
	var names []string
	for _, tag := range o.tags {
		names = append(names, tag.String())
	}
	return strings.Join(names, " ")
}
