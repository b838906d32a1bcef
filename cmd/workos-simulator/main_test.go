package main

import (
	"bytes"
	"context"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const (
	demoKey = "sk_test_demo"
	seed    = `
apiKeys: [sk_test_demo]
connections:
- {slug: github, userID: user_alice, lifetime: 45s}
`
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "simulator.yaml")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// log collects the log of the program, and signals when a text first occurs in it.
type log struct {
	mu     sync.Mutex
	text   strings.Builder
	events map[string]chan struct{}
}

func (l *log) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for text, happened := range l.events {
		if bytes.Contains(line, []byte(text)) {
			close(happened)
			delete(l.events, text)
		}
	}
	return l.text.Write(line)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// on returns a channel that is closed once a line with the text is logged.
func (l *log) on(text string) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	happened := make(chan struct{})
	if l.events == nil {
		l.events = map[string]chan struct{}{}
	}
	l.events[text] = happened
	return happened
}

// program is a running simulator.
type program struct {
	*testing.T
	log         *log
	addressFile string
	address     string
	stop        context.CancelFunc
	ended       <-chan int
}

// start starts the program with a seed, and returns once it listens.
func start(t *testing.T, seed string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	p := &program{T: t, log: &log{}, addressFile: filepath.Join(t.TempDir(), "address"), stop: stop, ended: ended}
	listening := p.log.on("msg=Listening")
	go func() {
		args := []string{"--listen", "127.0.0.1:0", "--address-file", p.addressFile, "--seed", writeFile(t, seed)}
		ended <- run(ctx, args, io.Discard, p.log)
	}()
	select {
	case <-listening:
	case code := <-ended:
		t.Fatalf("ended with %d:\n%s", code, p.log)
	}
	written, err := os.ReadFile(p.addressFile)
	if err != nil {
		t.Fatal(err)
	}
	p.address = strings.TrimSuffix(string(written), "\n")
	return p
}

// end stops the program as a signal does, and expects that it exits without an error.
func (p *program) end() {
	p.Helper()
	p.stop()
	if code := <-p.ended; code != 0 {
		p.Errorf("ended with %d:\n%s", code, p.log)
	}
}

// post sends JSON, and returns the body of the answer.
func (p *program) post(path, body string) (string, error) {
	r, err := http.NewRequestWithContext(p.Context(), http.MethodPost, "http://"+p.address+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Authorization", "Bearer "+demoKey)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	got, err := io.ReadAll(response.Body)
	return string(got), err
}

func (p *program) wantPost(path, body, want string) {
	p.Helper()
	if got, err := p.post(path, body); err != nil || !strings.Contains(got, want) {
		p.Errorf("%s: got %s, %v, want %s", path, got, err, want)
	}
}

const (
	tokenPath = "/data-integrations/github/token"
	ofAlice   = `{"user_id":"user_alice"}`
)

func TestItServesItsSeedAndCanBeControlled(t *testing.T) {
	p := start(t, seed)
	p.wantPost(tokenPath, ofAlice, `"access_token":"canary_github_1_`)
	p.wantPost("/_simulator/state", `{"slug":"github","userID":"user_alice","state":"not_installed"}`, `"state":"not_installed"`)
	p.wantPost(tokenPath, ofAlice, `{"active":false,"error":"not_installed"}`)
	p.end()
	if logged := p.log.String(); strings.Contains(logged, demoKey) || strings.Contains(logged, "canary_") || !strings.Contains(logged, "result=not_installed") {
		t.Errorf("logged\n%s", logged)
	}
	if _, err := os.Stat(p.addressFile); !os.IsNotExist(err) {
		t.Errorf("the address file is left behind: %v", err)
	}
}

func TestItEndsWhileRequestsAreHeld(t *testing.T) {
	p := start(t, seed)
	p.wantPost("/_simulator/faults", `{"kind":"timeout"}`, "")
	arrived := p.log.on("result=timeout")
	failed := make(chan error, 1)
	go func() {
		_, err := p.post(tokenPath, ofAlice)
		failed <- err
	}()
	<-arrived
	p.end()
	if err := <-failed; err == nil {
		t.Error("the request that was held has been answered")
	}
}

func TestHelpIsPrintedAndNamesEveryFlag(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &stdout, &stderr); code != 0 || stderr.Len() > 0 {
		t.Errorf("ended with %d and %s", code, stderr.String())
	}
	var c config
	c.flags().VisitAll(func(f *flag.Flag) {
		if !strings.Contains(stdout.String(), "\n  --"+f.Name+" ") {
			t.Errorf("no word about --%s in\n%s", f.Name, stdout.String())
		}
	})
}

func TestBadInputIsRefusedInOneLine(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing.yaml")
	wrong := writeFile(t, "apiKeys: [sk]\nconnection: []\n")
	tests := map[string]struct {
		args []string
		want string
	}{
		"an unknown flag":              {[]string{"--port", "1"}, "flag provided but not defined: -port; see --help"},
		"an argument":                  {[]string{"seed.yaml"}, `"seed.yaml" is no flag: remove it; see --help`},
		"an address without a port":    {[]string{"--listen", "127.0.0.1"}, `--listen "127.0.0.1" is not an address: use host:port, such as 127.0.0.1:8089; see --help`},
		"an empty address":             {[]string{"--listen", ""}, `--listen "" is not an address: use host:port, such as 127.0.0.1:8089; see --help`},
		"all addresses":                {[]string{"--listen", ":8089"}, "--listen :8089 is not a loopback address: use 127.0.0.1, or add --allow-remote; see --help"},
		"all addresses, in numbers":    {[]string{"--listen", "0.0.0.0:8089"}, "--listen 0.0.0.0:8089 is not a loopback address: use 127.0.0.1, or add --allow-remote; see --help"},
		"all addresses of IPv6":        {[]string{"--listen", "[::]:8089"}, "--listen [::]:8089 is not a loopback address: use 127.0.0.1, or add --allow-remote; see --help"},
		"another machine":              {[]string{"--listen", "192.0.2.1:8089"}, "--listen 192.0.2.1:8089 is not a loopback address: use 127.0.0.1, or add --allow-remote; see --help"},
		"a seed that does not exist":   {[]string{"--seed", missing}, "--seed: open " + missing + ": no such file or directory"},
		"a seed with an unknown field": {[]string{"--seed", wrong}, "--seed " + wrong + `: unknown field "connection": correct or remove it`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), test.args, &stdout, &stderr)
			if want := "workos-simulator: " + test.want + "\n"; code != 2 || stderr.String() != want || stdout.Len() > 0 {
				t.Errorf("ended with %d and %q%q\nwant 2 and %q", code, stdout.String(), stderr.String(), want)
			}
		})
	}
}

func TestWhereItMayListen(t *testing.T) {
	for _, test := range []struct {
		listen      string
		allowRemote bool
	}{
		{"127.0.0.1:8089", false}, {"127.1.2.3:0", false}, {"[::1]:8089", false}, {"localhost:8089", false}, {":8089", true}, {"192.0.2.1:8089", true},
	} {
		if _, err := listenAddress(test.listen, test.allowRemote); err != nil {
			t.Errorf("%s: %v", test.listen, err)
		}
	}
}

func TestItFailsWhenItCannotListenOrPublish(t *testing.T) {
	p := start(t, seed)
	defer p.end()
	for name, args := range map[string][]string{
		"a port that is taken":               {"--listen", p.address},
		"an address file that has no folder": {"--listen", "127.0.0.1:0", "--address-file", filepath.Join(t.TempDir(), "missing", "address")},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr bytes.Buffer
			if code := run(t.Context(), args, io.Discard, &stderr); code != 1 || strings.Count(stderr.String(), "\n") != 1 {
				t.Errorf("ended with %d and %q", code, stderr.String())
			}
		})
	}
}
