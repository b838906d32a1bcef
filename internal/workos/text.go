package workos

import (
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxMessage bounds Answer.Message, in characters. By design, conditions quote this much of
// WorkOS's words.
const maxMessage = 256

// maxRequestID bounds Answer.RequestID, in characters. WorkOS's request IDs are UUIDs of 36.
const maxRequestID = 128

// quoted makes foreign text fit for a status or a log: printable, without the key and without
// text that looks like a credential, and cut to limit characters. Text is redacted before the
// cut, because the cut could leave half of a secret.
func quoted(text string, key redact.String, limit int) string {
	return redact.Cut(redact.Text(text, key), limit)
}

// visibleASCII reports whether text consists of one or more characters from ! to ~. RFC 6749
// (appendix A.12, VSCHAR) allows these and the space in an access token. API keys have to meet
// the same rule, because they are sent in the same header.
func visibleASCII(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r < '!' || r > '~' })
}
