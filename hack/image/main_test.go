package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// refused runs the program, which must fail and print a single line. It returns that line.
func refused(t *testing.T, m machine, code int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if got := run(args, m, &stdout, &stderr); got != code || stdout.Len() > 0 {
		t.Errorf("%q: got code %d, %s", args, got, &stdout)
	}
	line, more, _ := strings.Cut(stderr.String(), "\n")
	if more != "" {
		t.Errorf("%q: got more than a line: %s", args, more)
	}
	return line
}

func TestAWrongCommandLineIsSaidWithWhatToWrite(t *testing.T) {
	for args, want := range map[string]string{
		"":                `image: there is no image "": write operator, simulator, pause or tools`,
		"manager --tag a": `image: there is no image "manager": write operator, simulator, pause or tools`,
		"operator":        "image: no --binary: name the program, such as --binary bin/pipes-operator",
		"simulator":       "image: no --binary: name the program, such as --binary bin/workos-simulator",
		"tools":           "image: no --tag: name the image, such as --tag pipes-operator:dev",
		"tools --tag a": "image: no --output: name the archive to write, " +
			"such as --output dist/images/pipes-operator.tar",
		"tools --tag a --output b c": `image: unexpected argument "c": all options are flags`,
		"tools --binary a":           "image: flag provided but not defined: -binary: image --help has the flags",
		"operator --add /a=b":        "image: flag provided but not defined: -add: image --help has the flags",
		"tools --tag A:b": `image: invalid value "A:b" for flag -tag: write it as name:tag, ` +
			"such as pipes-operator:dev: ",
		"tools --tag a@sha256:b": `image: invalid value "a@sha256:b" for flag -tag: write it as name:tag`,
		"tools --add usr/bin/server=b": `image: invalid value "usr/bin/server=b" for flag -add: write it as PATH=FILE, ` +
			"such as /usr/bin/server=bin/server",
		"tools --add /usr/bin/../x=b":    `image: invalid value "/usr/bin/../x=b" for flag -add: write it as PATH=FILE`,
		"tools --add /usr/bin/server":    `image: invalid value "/usr/bin/server" for flag -add: write it as PATH=FILE`,
		"tools --add /=b --tag a":        `image: invalid value "/=b" for flag -add: write it as PATH=FILE`,
		"operator --binary a --output b": "image: no --tag: ",
	} {
		if line := refused(t, machine{}, exitUsage, strings.Fields(args)...); !strings.HasPrefix(line, want) {
			t.Errorf("%q: got %s", args, line)
		}
	}
}

func TestWhatIsAskedForIsExplained(t *testing.T) {
	for _, args := range []string{"--help", "-h", "tools --help", "operator -h"} {
		if got := ok(t, machine{}, strings.Fields(args)...); got != usage {
			t.Errorf("%q: got %s", args, got)
		}
	}
}

func TestAFailureLeavesNoArchive(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "operator.tar")
	line := refused(t, machine{}, exitFailed, "operator", "--binary", archive+".missing", "--tag", "a",
		"--output", archive)
	if !strings.HasPrefix(line,
		"image: reading the program: open "+archive+".missing: no such file or directory: build it with") {
		t.Errorf("got %s", line)
	}
	if _, err := os.Stat(archive); !os.IsNotExist(err) {
		t.Errorf("got %v", err)
	}
}
