package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const repository = "../.."

// instructions returns the instructions of the Dockerfile, grouped by stage. It joins continued
// lines.
func instructions(t *testing.T) (stages [][]string) {
	t.Helper()
	text := regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(read(t, filepath.Join(repository, "Dockerfile")), "")
	for line := range strings.Lines(regexp.MustCompile(`\\\n\s*`).ReplaceAllString(text, "")) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "FROM "):
			stages = append(stages, []string{line})
		case line != "" && len(stages) > 0:
			stages[len(stages)-1] = append(stages[len(stages)-1], line)
		}
	}
	return stages
}

// modesSet returns the file modes that a stage sets, by path, for example with chmod 0555
// /out/program.
func modesSet(stage []string) map[string]string {
	modes := map[string]string{}
	for _, match := range regexp.MustCompile(`chmod (\d+)((?: /\S+)+)`).
		FindAllStringSubmatch(strings.Join(stage, "\n"), -1) {
		for _, file := range strings.Fields(match[2]) {
			modes[file] = match[1]
		}
	}
	return modes
}

// finalStage is the result of the Dockerfile, restricted to the features that hack/image
// supports.
type finalStage struct {
	from, user string
	entrypoint []string
	files      map[string]string // path → mode
	labels     map[string]string
}

// readFinalStage reads the last stage. It fails the test for an unknown instruction, because
// hack/image may lack that feature.
func readFinalStage(t *testing.T, lines []string, built map[string]string) finalStage {
	t.Helper()
	s := finalStage{files: map[string]string{}, labels: map[string]string{}}
	for _, line := range lines {
		keyword, rest, _ := strings.Cut(line, " ")
		switch fields := strings.Fields(rest); {
		case keyword == "ARG":
		case keyword == "FROM":
			s.from = rest
		case keyword == "USER":
			s.user = rest
		case keyword == "ENTRYPOINT":
			if err := json.Unmarshal([]byte(rest), &s.entrypoint); err != nil {
				t.Errorf("%s: %v", line, err)
			}
		case keyword == "LABEL":
			for _, label := range fields {
				key, value, _ := strings.Cut(label, "=")
				s.labels[key] = value
			}
		case keyword == "COPY" && len(fields) == 3 && fields[0] == "--from=builder":
			s.files[fields[2]] = built[fields[1]]
		default:
			t.Errorf("%s: not of the form that this test can read", line)
		}
	}
	return s
}

func TestTheDockerfileMakesTheSameImage(t *testing.T) {
	stages := instructions(t)
	if len(stages) != 2 {
		t.Fatalf("got %d stages", len(stages))
	}
	builder, final := stages[0], readFinalStage(t, stages[1], modesSet(stages[0]))
	want := singles["operator"].design(program{}, nil, "$VERSION")
	modes := map[string]string{}
	for at, e := range want.files {
		modes[at] = fmt.Sprintf("%04o", e.mode)
	}
	if !maps.Equal(final.files, modes) {
		t.Errorf("the Dockerfile has the files %v, hack/image %v", final.files, modes)
	}
	if !maps.Equal(final.labels, want.config.Labels) {
		t.Errorf("the Dockerfile has the labels %v, hack/image %v", final.labels, want.config.Labels)
	}
	if final.from != "scratch" {
		t.Errorf("the Dockerfile is from %s, hack/image from scratch", final.from)
	}
	if final.user != want.config.User {
		t.Errorf("the Dockerfile has the user %q, hack/image %q", final.user, want.config.User)
	}
	if !slices.Equal(final.entrypoint, want.config.Entrypoint) {
		t.Errorf("the Dockerfile has the entrypoint %q, hack/image %q", final.entrypoint, want.config.Entrypoint)
	}
	if !slices.Contains(builder, "COPY hack/image/passwd /out/passwd") {
		t.Error("/etc/passwd of the Dockerfile is another one")
	}
}

func TestTheBuildContextHasWhatTheDockerfileCopies(t *testing.T) {
	allowed := strings.Split(read(t, filepath.Join(repository, ".dockerignore")), "\n")
	for _, line := range slices.Concat(instructions(t)...) {
		fields := strings.Fields(line)
		if fields[0] != "COPY" || strings.HasPrefix(fields[1], "--from=") {
			continue
		}
		for _, source := range fields[1 : len(fields)-1] {
			if !slices.Contains(allowed, "!"+source) {
				t.Errorf(".dockerignore leaves %s out", source)
			}
			if _, err := os.Stat(filepath.Join(repository, source)); err != nil {
				t.Error(err)
			}
		}
	}
}
