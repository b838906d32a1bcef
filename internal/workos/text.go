package workos

import (
	"strings"
	"unicode"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxMessage bounds Answer.Message, in characters: what conditions quote of WorkOS, by design.
const maxMessage = 256

// maxRequestID bounds Answer.RequestID, in characters. WorkOS's are UUIDs of 36.
const maxRequestID = 128

// quoted is text that somebody else wrote, fit for a status or a log: without the key, printable (control and format
// characters, line breaks included, become single spaces), and cut to limit characters.
func quoted(text string, key redact.String, limit int) string {
	text = strings.ToValidUTF8(withoutKey(text, key), "\uFFFD")
	words := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || !unicode.IsPrint(r) })
	return cut(strings.Join(words, " "), limit)
}

// withoutKey strikes the key out, for upstreams and proxies that echo what they were sent.
func withoutKey(text string, key redact.String) string {
	if key.IsEmpty() {
		return text
	}
	return strings.ReplaceAll(text, key.Reveal(), key.String())
}

// cut keeps the first limit characters.
func cut(text string, limit int) string {
	count := 0
	for i := range text {
		if count == limit {
			return text[:i]
		}
		count++
	}
	return text
}

// visibleASCII says whether text is one or more of ! to ~, what RFC 6749 (appendix A.12, VSCHAR) allows in an access
// token, less the space. API keys are held to the same: they travel in the same header.
func visibleASCII(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}
