package main

import (
	"archive/tar"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instructions returns the instructions of the Dockerfile, without comments and with continued
// lines joined.
func instructions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	joined := regexp.MustCompile(`(?m)^\s*#.*\n|\\\n\s*`).ReplaceAllString(string(text), "")
	return strings.Split(strings.TrimSpace(regexp.MustCompile(`\n+`).ReplaceAllString(joined, "\n")), "\n")
}

// The test reads only the forms of instructions that the Dockerfile has. It fails for any other.
func TestTheDockerfileMakesTheSameImage(t *testing.T) {
	image, config := load(t, archive(t, options{binary: program(t), platform: platform, version: "$VERSION"}, "a"), "a")
	all := instructions(t)
	final := 1 + slices.Index(all, "FROM scratch")
	labels, files := map[string]string{}, map[string]string{}
	for _, line := range all[final:] {
		keyword, rest, _ := strings.Cut(line, " ")
		fields := strings.Fields(rest)
		switch {
		case keyword == "ARG", line == "USER "+config.Config.User:
		case keyword == "ENTRYPOINT":
			if want := fmt.Sprintf("%q", config.Config.Entrypoint); rest != want {
				t.Errorf("got %s, want %s", rest, want)
			}
		case keyword == "LABEL":
			for _, label := range fields {
				key, value, _ := strings.Cut(label, "=")
				labels[key] = value
			}
		case keyword == "COPY" && len(fields) == 3 && fields[0] == "--from=builder":
			files[strings.TrimPrefix(fields[2], "/")] = fields[1]
		default:
			t.Errorf("%s: another image", line)
		}
	}
	if final == 0 || !maps.Equal(labels, config.Config.Labels) {
		t.Errorf("got labels %v, want %v", config.Config.Labels, labels)
	}
	for at, header := range entries(t, image) {
		mode := regexp.MustCompile(fmt.Sprintf(`chmod %04o[^&]* %s( |$)`, header.Mode, files[at]))
		if header.Typeflag == tar.TypeReg && (files[at] == "" || !slices.ContainsFunc(all[:final], mode.MatchString)) {
			t.Errorf("the Dockerfile does not make %s with mode %04o", at, header.Mode)
		}
		delete(files, at)
	}
	if len(files) > 0 || !slices.Contains(all, "COPY hack/image/passwd /out/passwd") {
		t.Errorf("the Dockerfile has other files too: %v", files)
	}
}

func TestTheBuildContextHasWhatTheDockerfileCopies(t *testing.T) {
	ignored, err := os.ReadFile("../../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range instructions(t) {
		fields := strings.Fields(line)
		if fields[0] != "COPY" || strings.HasPrefix(fields[1], "--from=") {
			continue
		}
		for _, source := range fields[1 : len(fields)-1] {
			if !slices.Contains(strings.Split(string(ignored), "\n"), "!"+source) {
				t.Errorf(".dockerignore leaves %s out", source)
			}
		}
	}
}
