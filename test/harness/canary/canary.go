// Package canary finds tokens and API keys in places where they must not be. In tests, every
// value that the operator must not reveal contains the word "canary".
package canary

import "strings"

// Forms are the texts to search for: the plain word, the word in base64 at its three alignments,
// and the word in the two hex dump formats that client-go uses to log bodies that are not text.
var Forms = []string{"canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn", "63 61 6e 61 72 79", "63616e617279"}

// Find returns the text around a canary, or an empty string.
func Find(text string) string {
	for _, form := range Forms {
		if at := strings.Index(text, form); at >= 0 {
			return text[max(at-200, 0):min(at+60, len(text))]
		}
	}
	return ""
}
