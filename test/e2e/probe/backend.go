package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/cgi" //nolint:gosec // what it is known for ended with Go 1.6.3
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	// repository is the repository that config/samples/pod_git.yaml clones.
	repository = "example/private.git"
	// firstCommit is the only commit in it, as input for git fast-import.
	firstCommit = `commit refs/heads/main
committer probe <probe@example.com> 0 +0000
data <<END
Say what it is
END
M 644 inline README.md
data <<END
It is private.
END
`
)

// newBackend creates a bare repository and serves it over HTTP with git itself. It does not
// check tokens.
func newBackend(ctx context.Context, root string) (http.Handler, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	directory := filepath.Join(root, repository)
	for _, step := range []struct {
		input string
		args  []string
	}{
		{"", []string{"init", "--quiet", "--bare", "--initial-branch=main", directory}},
		{firstCommit, []string{"-C", directory, "fast-import", "--quiet"}},
	} {
		cmd := exec.CommandContext(ctx, git, step.args...)
		cmd.Env = append(os.Environ(), "HOME="+root) // the user may have no home directory
		cmd.Stdin = strings.NewReader(step.input)
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("git %s: %w: %s", strings.Join(step.args, " "), err, bytes.TrimSpace(output))
		}
	}
	return &cgi.Handler{
		Path:   git,
		Args:   []string{"http-backend"},
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root},
		Logger: log.Default(),
	}, nil
}
