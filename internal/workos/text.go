package workos

import (
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxMessage bounds Answer.Message, in characters: what conditions quote of WorkOS, by design.
const maxMessage = 256

// maxRequestID bounds Answer.RequestID, in characters. WorkOS's are UUIDs of 36.
const maxRequestID = 128

// quoted is text that somebody else wrote, fit for a status or a log: printable, without the key and what looks like a
// credential, and cut to limit characters. What is struck is struck before the cut, which could leave half of it.
func quoted(text string, key redact.String, limit int) string {
	return redact.Cut(redact.Text(text, key), limit)
}

// withoutKey strikes the key out, for upstreams and proxies that echo what they were sent.
func withoutKey(text string, key redact.String) string {
	if key.IsEmpty() {
		return text
	}
	return strings.ReplaceAll(text, key.Reveal(), key.String())
}

// visibleASCII says whether text is one or more of ! to ~, what RFC 6749 (appendix A.12, VSCHAR) allows in an access
// token, less the space. API keys are held to the same: they travel in the same header.
func visibleASCII(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}
