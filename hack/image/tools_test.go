package main

import (
	"debug/elf"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// unpackTools builds the tools image and unpacks it.
func unpackTools(t *testing.T, m machine, args ...string) map[string]member {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "tools.tar")
	ok(t, m, append([]string{"tools", "--tag", "busybox:1.37", "--output", archive}, args...)...)
	image := readBack(t, archive, "busybox:1.37")
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "" || len(c.Entrypoint) > 0 || len(c.Cmd) != 1 || c.Cmd[0] != "sh" ||
		c.Env[0] != "PATH=/usr/local/bin:/usr/bin" {
		t.Errorf("got %+v", c)
	}
	return unpack(t, image)
}

func TestTheToolsImageHasProgramsAndAllThatTheyNeed(t *testing.T) {
	m, root := fakeMachine(t)
	members := unpackTools(t, m,
		"--add", "/usr/local/bin/git-server="+write(t, filepath.Join(root, "server"), builtProgram(t)))
	for at, want := range map[string]member{
		"/bin":                               {mode: 0o777, link: "usr/bin"},
		"/tmp":                               {mode: 0o1777},
		"/usr/share/git-core/templates":      {mode: 0o755},
		"/usr/bin/git-upload-pack":           {mode: 0o777, link: "/usr/bin/git"},
		"/usr/bin/git-receive-pack":          {mode: 0o777, link: "/usr/bin/git"},
		"/usr/lib/git-core/git-remote-https": {mode: 0o777, link: "/usr/lib/git-core/git-remote-http"},
		"/etc/passwd":                        {mode: 0o444, content: string(passwd)},
		"/etc/nsswitch.conf":                 {mode: 0o444, content: nsswitch},
		"/usr/local/bin/git-server":          {mode: 0o755, content: string(builtProgram(t))},
		filepath.Join(root, "ld.so"):         {mode: 0o755, content: "ld.so"},
		filepath.Join(root, "lib/libc.so.6"): {mode: 0o644, content: "libc"},
		// The machine has this library in /opt, under another name.
		filepath.Join(root, "lib/libz.so.1"): {mode: 0o644, content: "libz"},
		"/etc/ssl/certs/ca-certificates.crt": {mode: 0o444, content: read(t, filepath.Join(root, "ca.pem"))},
		"/usr/bin/sh":                        {mode: 0o755, content: read(t, filepath.Join(root, "usr/bin/sh"))},
		"/usr/bin/git":                       {mode: 0o755, content: read(t, filepath.Join(root, "usr/bin/git"))},
		"/usr/lib/git-core/git-http-backend": {
			mode: 0o755, content: read(t, filepath.Join(root, "usr/lib/git-core/git-http-backend")),
		},
		"/usr/lib/git-core/git-remote-http": {
			mode: 0o755, content: read(t, filepath.Join(root, "usr/lib/git-core/git-remote-http")),
		},
	} {
		if got := members[at]; got != want {
			t.Errorf("%s: got %+v", at, got)
		}
	}
	for _, pkg := range packages {
		for _, name := range pkg.programs {
			if _, there := members["/usr/bin/"+name]; !there {
				t.Errorf("%s is missing", name)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAllMissingProgramsAreNamedAtOnce(t *testing.T) {
	m, root := fakeMachine(t)
	for _, file := range []string{"usr/bin/sleep", "usr/bin/wc", "usr/bin/curl", "usr/lib/git-core/git-http-backend"} {
		if err := os.Remove(filepath.Join(root, file)); err != nil {
			t.Fatal(err)
		}
	}
	line := refused(t, m, exitFailed, "tools", "--tag", "a", "--output", filepath.Join(root, "a.tar"))
	if line != "image: this machine lacks sleep, wc, curl, git-http-backend: apt-get install coreutils curl git" {
		t.Errorf("got %s", line)
	}
}

func TestTheToolsImageIsMadeOnLinuxOnly(t *testing.T) {
	m, root := fakeMachine(t)
	m.goos = "darwin"
	line := refused(t, m, exitFailed, "tools", "--tag", "a", "--output", filepath.Join(root, "a.tar"))
	if line != "image: the tools image is made of this machine's programs, and needs Linux: run this on Linux" {
		t.Errorf("got %s", line)
	}
}

func TestAScriptIsNoTool(t *testing.T) {
	m, root := fakeMachine(t)
	file := write(t, filepath.Join(root, "usr/bin/curl"), []byte("#!/bin/sh\n"))
	line := refused(t, m, exitFailed, "tools", "--tag", "a", "--output", filepath.Join(root, "a.tar"))
	if !strings.HasPrefix(line, "image: "+file+" is no program for Linux: ") ||
		!strings.HasSuffix(line, ": the tools image cannot use it") {
		t.Errorf("got %s", line)
	}
}

func TestAnAdditionThatCouldNotRunIsRefused(t *testing.T) {
	m, root := fakeMachine(t)
	static := write(t, filepath.Join(root, "static"), elfProgram(t, elf.EM_X86_64, "", ""))
	for add, want := range map[string]string{
		"/usr/bin/x=" + write(t, filepath.Join(root, "arm"),
			elfProgram(t, elf.EM_AARCH64, "", "")): " is for EM_AARCH64 and the other programs are for EM_X86_64: " +
			"build it with GOARCH=",
		"/usr/bin/x=" + write(t, filepath.Join(root, "dynamic"),
			elfProgram(t, elf.EM_X86_64, "/ld.so", "")): " is linked dynamically",
		"/usr/bin/x=" + filepath.Join(root, "missing"): "image: reading what to add: open ",
		"/usr/bin/sh=" + static: "image: /usr/bin/sh is in the image already: " +
			"add " + static + " at another path",
		"/bin/x=" + static: "image: /bin/x is below /bin, which is a link in the image: " +
			"write /usr/bin/x",
		"/usr/bin/sh/x=" + static: "image: /usr/bin/sh/x is below /usr/bin/sh, which is a file in the image: " +
			"choose another path",
	} {
		if line := refused(t, m, exitFailed, "tools", "--tag", "a", "--output", filepath.Join(root, "a.tar"),
			"--add", add); !strings.Contains(line, want) {
			t.Errorf("%s: got %s", add, line)
		}
	}
}
