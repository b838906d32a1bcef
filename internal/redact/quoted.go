package redact

import (
	"encoding/base64"
	"net/url"
	"strings"
	"unicode"
)

// shortest is how many characters of a sensitive text give it away: fewer may stand anywhere.
const shortest = 16

// Holds says whether text quotes secret, whole or by a part of 16 characters or more, as it is or as
// base64, JSON or a URL has it. A secret that is shorter is looked for as a whole. The empty secret is
// in no text.
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

// forms are the ways in which a text can be written. In base64 it looks different for each of the
// three places in a group that it can begin at; the characters at both ends depend on what is beside it.
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

// AnyWord calls found with each word of text, and with what each word is in base64, until it returns
// true, and says whether it did. Words are what white space and the usual quotes and brackets part.
func AnyWord(text string, found func(word string) bool) bool {
	parts := strings.FieldsFunc(text, func(r rune) bool {
		return unicode.IsSpace(r) || strings.ContainsRune("\"'`()[]{}<>,;\\", r)
	})
	for _, part := range parts {
		for _, word := range append(strings.FieldsFunc(part, func(r rune) bool { return r == ':' || r == '=' }), part, strings.TrimRight(part, ".:")) {
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
