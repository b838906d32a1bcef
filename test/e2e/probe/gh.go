package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// ghArguments are those that config/samples/pod_gh.yaml gives to gh.
var ghArguments = []string{"api", "user", "--jq", ".login"}

// gh stands in for the GitHub CLI, which machines that the suite runs on do not have: it finds the token in the configuration
// where gh finds it, sends it as gh does, and prints the login name.
func gh(ctx context.Context, client *http.Client, configuration string, out io.Writer) error {
	token, err := ghToken(configuration)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.github.com/user", nil)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "token "+token)
	request.Header.Set("User-Agent", "GitHub CLI (stand-in)")
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server answers %s", response.Status)
	}
	var user struct {
		Login string `json:"login"`
	}
	if err := json.NewDecoder(response.Body).Decode(&user); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	_, err = fmt.Fprintln(out, user.Login)
	return err
}

// ghToken is the token for github.com in a configuration of gh. One without a version is of the time before gh knew several
// accounts: gh then wants to write the directory, which it cannot when that is a Secret.
func ghToken(configuration string) (string, error) {
	var config struct {
		Version string `json:"version"`
	}
	if err := readYAML(filepath.Join(configuration, "config.yml"), &config); err != nil {
		return "", err
	}
	if config.Version != "1" {
		return "", fmt.Errorf("config.yml has the version %q: gh would migrate it", config.Version)
	}
	hosts := map[string]struct {
		Token string `json:"oauth_token"`
	}{}
	if err := readYAML(filepath.Join(configuration, "hosts.yml"), &hosts); err != nil {
		return "", err
	}
	if hosts["github.com"].Token == "" {
		return "", errors.New("hosts.yml has no oauth_token for github.com")
	}
	return hosts["github.com"].Token, nil
}

func readYAML(file string, into any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s is no YAML of the form that gh has", filepath.Base(file)) // the parser's words may have the token in them
	}
	return nil
}
