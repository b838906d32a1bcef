package main

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestTheOperatorsImageHasOneProgramAndNoRights(t *testing.T) {
	m, root := fakeMachine(t)
	binary := write(t, filepath.Join(root, "bin/pipes-operator"), builtProgram(t))
	archive := filepath.Join(root, "operator.tar")
	line := ok(t, m, "operator", "--binary", binary, "--tag", "pipes-operator:dev", "--output", archive,
		"--version", "v1.2.3")
	if !regexp.MustCompile(`^image: pipes-operator:dev, sha256:[0-9a-f]{64}, linux/\w+, ` +
		`user 65532:65532, \d+\.\d MiB of files, \d+\.\d MiB in `).MatchString(line) {
		t.Errorf("got %s", line)
	}
	image := readBack(t, archive, "pipes-operator:dev")
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; config.OS != "linux" || config.Architecture == "" ||
		!strings.Contains(line, "linux/"+config.Architecture+",") || c.User != "65532:65532" ||
		!slices.Equal(c.Entrypoint, []string{"/pipes-operator"}) || c.Cmd != nil || c.WorkingDir != "/" {
		t.Errorf("got %+v", config)
	}
	if labels := config.Config.Labels; !maps.Equal(labels, map[string]string{
		"org.opencontainers.image.title":    "pipes-operator",
		"org.opencontainers.image.version":  "v1.2.3",
		"org.opencontainers.image.licenses": "Apache-2.0",
	}) {
		t.Errorf("got %v", labels)
	}
	members := unpack(t, image)
	modes := map[string]int64{}
	for at, m := range members {
		modes[at] = m.mode
	}
	if !maps.Equal(modes, map[string]int64{
		"/pipes-operator": 0o555, "/etc": 0o755, "/etc/passwd": 0o444,
		"/etc/ssl": 0o755, "/etc/ssl/certs": 0o755, "/etc/ssl/certs/ca-certificates.crt": 0o444,
	}) {
		t.Errorf("got %v", modes)
	}
	if members["/pipes-operator"].content != string(builtProgram(t)) ||
		!strings.Contains(members["/etc/passwd"].content, "\nnonroot:x:65532:65532:") {
		t.Error("the files are not those that went in")
	}
}

func TestTheSimulatorsImageHasTheSimulator(t *testing.T) {
	m, root := fakeMachine(t)
	binary := write(t, filepath.Join(root, "bin/workos-simulator"), builtProgram(t))
	archive := filepath.Join(root, "simulator.tar")
	ok(t, m, "simulator", "--binary", binary, "--tag", "workos-simulator:dev", "--output", archive)
	config, err := readBack(t, archive, "workos-simulator:dev").ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(config.Config.Entrypoint, []string{"/workos-simulator"}) ||
		config.Config.Labels["org.opencontainers.image.version"] != "dev" {
		t.Errorf("got %+v", config.Config)
	}
}
