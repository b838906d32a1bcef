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

// ghArguments are the arguments of gh in config/samples/pod_gh.yaml.
var ghArguments = []string{"api", "user", "--jq", ".login"}

// gh replaces the GitHub CLI, which is not installed on the machines of the suite. It reads the
// token from the same configuration as gh, sends it in the same way, and prints the login name.
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

// ghToken returns the token for github.com from a configuration of gh. A configuration without a
// version is from before gh supported several accounts. gh then tries to migrate it, which fails
// because the directory is a read-only Secret.
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
		// Do not include the error of the parser: it may contain the token.
		return fmt.Errorf("%s is no YAML of the form that gh has", filepath.Base(file))
	}
	return nil
}
