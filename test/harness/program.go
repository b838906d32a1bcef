package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/pipes-operator/pipes-operator/hack/process"
)

// starts runs functions on one thread that lives as long as the test process: the kernel kills a
// program when the thread that has started it ends.
var starts = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go func() {
		runtime.LockOSThread()
		for job := range jobs {
			job()
		}
	}()
	return jobs
})

// StartProgram starts a program and appends its output to a file. The kernel kills the program when
// the test process ends.
func StartProgram(name, log string, cmd *exec.Cmd) (started *process.Process, err error) {
	done := make(chan struct{})
	starts() <- func() {
		started, err = process.Start(name, log, cmd)
		close(done)
	}
	<-done
	return started, err
}

// BuildOperator builds the operator into a directory, with the race detector if race is set, and
// returns its path.
func BuildOperator(ctx context.Context, directory string, race bool) (string, error) {
	program := filepath.Join(directory, "pipes-operator")
	arguments, cgo := []string{"build", "-trimpath", "-ldflags", "-s -w", "-o", program}, "CGO_ENABLED=0"
	if race {
		arguments, cgo = []string{"build", "-race", "-o", program}, "CGO_ENABLED=1"
	}
	cmd := exec.CommandContext(ctx, "go", append(arguments, "./cmd/pipes-operator")...)
	cmd.Dir, cmd.Env = Root(), append(os.Environ(), cgo)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the operator: %w\n%s", err, output)
	}
	return program, nil
}

// Get returns the body of an answer with status 200.
func Get(ctx context.Context, client *http.Client, url string) (_ []byte, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", url, response.Status)
	}
	return io.ReadAll(response.Body)
}
