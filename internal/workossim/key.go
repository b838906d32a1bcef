package workossim

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// keyDigest represents an API key. The simulator never stores a key.
type keyDigest [sha256.Size]byte

func digestOf(key string) keyDigest {
	return sha256.Sum256([]byte(key))
}

// Fingerprint identifies an API key without revealing it: the last four bytes of its SHA-256,
// in hex. The fingerprint of an empty key is empty.
func Fingerprint(key string) string {
	if key == "" {
		return ""
	}
	digest := digestOf(key)
	return hex.EncodeToString(digest[len(digest)-4:])
}

// bearerKey returns the key of an Authorization header, or an empty string if there is no key.
// The scheme is not case-sensitive (RFC 9110, 11.1).
func bearerKey(authorization string) string {
	scheme, key, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
