package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// transport passes all requests to a handler, for any host.
type transport struct{ http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	t.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func TestTheStandInForGhSendsTheTokenOfItsConfiguration(t *testing.T) {
	right := workossim.TokenValue(alice, 3)
	const version = "version: \"1\"\n"
	for name, test := range map[string]struct {
		hosts, config string
		output        string
		failure       string
	}{
		"as the sample has it": {"github.com:\n  oauth_token: \"" + right + "\"\n  git_protocol: https\n", version, "alice\n", ""},
		"a wrong token":        {"github.com:\n  oauth_token: wrong\n", version, "", "401"},
		"no token":             {"github.com:\n  git_protocol: https\n", version, "", "no oauth_token"},
		"another host":         {"example.com:\n  oauth_token: " + right + "\n", version, "", "no oauth_token"},
		"no YAML":              {"github.com: [" + right, version, "", "no YAML"},
		"no version":           {"github.com:\n  oauth_token: " + right + "\n", "git_protocol: https\n", "", "migrate"},
	} {
		t.Run(name, func(t *testing.T) {
			handler, _ := github(t)
			configuration := t.TempDir()
			for file, text := range map[string]string{"hosts.yml": test.hosts, "config.yml": test.config} {
				if err := os.WriteFile(filepath.Join(configuration, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var output bytes.Buffer
			err := gh(t.Context(), &http.Client{Transport: transport{handler}}, configuration, &output)
			if output.String() != test.output {
				t.Errorf("printed %q, want %q", &output, test.output)
			}
			switch {
			case test.failure == "" && err != nil:
				t.Error(err)
			case test.failure != "" && (err == nil || !strings.Contains(err.Error(), test.failure) || strings.Contains(err.Error(), "canary")):
				t.Errorf("got the error %v, want %q in it and no token", err, test.failure)
			}
		})
	}
}
