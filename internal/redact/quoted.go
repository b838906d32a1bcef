package redact

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode"
)

// shortest is the number of characters of a sensitive text that give it away. Fewer characters
// may occur anywhere by chance.
const shortest = 16

// Holds reports whether text contains secret, as a whole or a part of at least 16 characters.
// It finds the secret as it is (for example inside JSON), in base64, and escaped for a URL. A
// shorter secret is looked for as a whole. The empty secret is in no text.
func Holds(text string, secret String) bool {
	for _, form := range forms(secret.Reveal()) {
		if len(form) <= shortest && form != "" && strings.Contains(text, form) {
			return true
		}
		for i := 0; i+shortest <= len(form); i++ {
			if strings.Contains(text, form[i:i+shortest]) {
				return true
			}
		}
	}
	return false
}

// forms returns the ways in which a secret can be written. In base64 it looks different for
// each of the three positions in a group at which it can begin. The characters at both ends are
// left out, because they depend on the text next to the secret.
func forms(secret string) []string {
	all := []string{secret, url.QueryEscape(secret)}
	for shift := range 3 {
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			encoded := encoding.EncodeToString([]byte(strings.Repeat("\x00", shift) + secret))
			if from, to := 4, len(encoded)-2; from < to {
				all = append(all, encoded[from:to])
			}
		}
	}
	return all
}

// AnyWord calls found with each word of text, and with the text that the word encodes in base64,
// until found returns true. It reports whether found did. Words are separated by white space and
// by the usual quotes and brackets. The parts of a word around ":" and "=" are words, too.
func AnyWord(text string, found func(word string) bool) bool {
	parts := strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\"'`()[]{}<>,;\\", r)
	})
	for _, part := range parts {
		for _, word := range append(
			strings.FieldsFunc(part, func(r rune) bool { return r == ':' || r == '=' }),
			part, strings.TrimRight(part, ".:"),
		) {
			if found(word) {
				return true
			}
			if decoded, err := base64.StdEncoding.DecodeString(word); err == nil && found(string(decoded)) {
				return true
			}
		}
	}
	return false
}
