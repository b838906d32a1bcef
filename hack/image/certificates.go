package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// bundles are the usual paths of CA certificates: the list of crypto/x509, in the same order.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",                // Debian, Ubuntu, Arch
	"/etc/pki/tls/certs/ca-bundle.crt",                  // Fedora
	"/etc/ssl/ca-bundle.pem",                            // openSUSE
	"/etc/pki/tls/cacert.pem",                           // OpenELEC
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // RHEL
	"/etc/ssl/cert.pem",                                 // Alpine, macOS
}

// readBundle reads the CA certificates from file, or from the first existing place if file is
// empty.
func readBundle(file string, places []string) ([]byte, error) {
	if file != "" {
		places = []string{file}
	}
	for _, place := range places {
		bundle, err := os.ReadFile(place)
		switch {
		case errors.Is(err, fs.ErrNotExist) && file == "":
			continue
		case err != nil:
			return nil, fmt.Errorf("reading the CA certificates: %w", err)
		case !x509.NewCertPool().AppendCertsFromPEM(bundle):
			return nil, fmt.Errorf("%s has no certificates in PEM: name another file with --ca-bundle", place)
		}
		return bundle, nil
	}
	return nil, errors.New("this machine has no CA certificates: " +
		"apt-get install ca-certificates, or name a file with --ca-bundle")
}
