package workossim

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// keyDigest stands for an API key. Keys themselves are never kept.
type keyDigest [sha256.Size]byte

func digestOf(key string) keyDigest {
	return sha256.Sum256([]byte(key))
}

// Fingerprint tells API keys apart without giving them away: the last four bytes of the key's SHA-256, in hex. No key has
// no fingerprint.
func Fingerprint(key string) string {
	if key == "" {
		return ""
	}
	digest := digestOf(key)
	return hex.EncodeToString(digest[len(digest)-4:])
}

// bearerKey is the key of an Authorization header, empty when there is none. The scheme may be written in any case (RFC
// 9110, 11.1).
func bearerKey(authorization string) string {
	scheme, key, found := strings.Cut(authorization, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}
