// Package canary finds tokens and API keys where none belongs. In the tests all of them have the word "canary" in them, as has
// whatever else is not the operator's to tell.
package canary

import "strings"

// Forms are what to look for: the word as it is, in base64 at each of its three alignments, and in the two forms of hex dumps,
// in which client-go logs bodies that are not text.
var Forms = []string{"canary", "Y2FuYXJ5", "NhbmFye", "jYW5hcn", "63 61 6e 61 72 79", "63616e617279"}

// Find returns the surroundings of a canary in the text; empty when there is none.
func Find(text string) string {
	for _, form := range Forms {
		if at := strings.Index(text, form); at >= 0 {
			return text[max(at-200, 0):min(at+60, len(text))]
		}
	}
	return ""
}
