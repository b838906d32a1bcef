package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestTheFirstBundleOfTheMachineIsTaken(t *testing.T) {
	directory := t.TempDir()
	first, second := certificate(t), certificate(t)
	places := []string{
		filepath.Join(directory, "missing.pem"),
		write(t, filepath.Join(directory, "first.pem"), first),
		write(t, filepath.Join(directory, "second.pem"), second),
	}
	if got, err := readBundle("", places); err != nil || string(got) != string(first) {
		t.Errorf("got %s, %v", got, err)
	}
	if got, err := readBundle(places[2], places); err != nil || string(got) != string(second) {
		t.Errorf("named: got %s, %v", got, err)
	}
}

func TestAnImageWithoutCertificatesIsRefused(t *testing.T) {
	directory := t.TempDir()
	missing, empty := filepath.Join(directory, "missing.pem"),
		write(t, filepath.Join(directory, "empty.pem"), []byte("# none\n"))
	for name, test := range map[string]struct {
		file   string
		places []string
		want   string
	}{
		"none on the machine": {"", []string{missing},
			"this machine has no CA certificates: apt-get install ca-certificates, or name a file with --ca-bundle"},
		"none in the file": {"", []string{empty}, empty + " has no certificates in PEM: name another file with --ca-bundle"},
		"no such file":     {missing, nil, "reading the CA certificates: open " + missing},
	} {
		if _, err := readBundle(test.file, test.places); err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
