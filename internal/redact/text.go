package redact

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

// maxText bounds the text that Text searches for credentials, in bytes. A condition shows 256
// characters of it.
const maxText = 8 << 10

// Text makes foreign text (an error of WorkOS, of the API server or of an admission webhook)
// fit to be quoted in a condition, an event or a log. It makes the text Printable, and then
// puts "[redacted]" in the place of
//
//   - each of the secrets, also if it is encoded as base64 or for a URL;
//   - the text after "Bearer" or "Basic", and the user and password of a URL;
//   - the value of a name such as token, password, secret or key: token=..., "api_key":"...",
//     password: ...;
//   - JSON Web Tokens, and text that begins like the tokens of known providers (ghp_, xoxb-,
//     ya29., sk_, AKIA ...);
//   - runs of 20 or more of [A-Za-z0-9_+/=.~%-] that look random, with letters and digits mixed.
//
// Words joined by dashes, CamelCase, hosts and paths, image digests (sha256:...), UUIDs and
// WorkOS's IDs (user_01..., data_installation_01...) stay, because support needs them. Text
// that is longer than 8 KiB is cut off at a space. Text does not change a text that it has
// returned before.
//
// Secrets are redacted wherever their characters occur: pass tokens and keys, and no short words.
func Text(text string, secrets ...String) string {
	text = Exact(Printable(text), secrets...)
	// Each round leaves fewer characters outside of placeholders, so the loop ends. Most texts
	// take one or two rounds.
	for {
		struck := strike(bound(text))
		if struck == text {
			return text
		}
		text = struck
	}
}

// Exact puts "[redacted]" in the place of each of the secrets, also if it is encoded as base64
// or for a URL.
func Exact(text string, secrets ...String) string {
	for _, secret := range secrets {
		for _, form := range spellings(secret.Reveal()) {
			if form != "" { // the printable form of white space is empty
				text = strings.ReplaceAll(text, form, placeholder)
			}
		}
	}
	return text
}

// spellings returns the forms in which Exact looks for a secret. A long secret is also looked
// for in base64, without the last characters and the padding, because these depend on the text
// that follows.
func spellings(secret string) []string {
	all := []string{secret, Printable(secret), url.QueryEscape(secret)}
	if len(secret) >= 8 {
		whole := secret[:len(secret)/3*3]
		all = append(all, base64.StdEncoding.EncodeToString([]byte(whole)), base64.URLEncoding.EncodeToString([]byte(whole)))
	}
	return all
}

// bound cuts text at the last space within maxText, so that no word loses the part by which it
// is recognized.
func bound(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:max(strings.LastIndexByte(text[:maxText+1], ' '), 0)]
}

// value matches the text after a name or a scheme, without the quotes and brackets around it.
const value = `([^\s"'\x60\\()\[\]{}<>,;&|]+)`

// quote matches a quotation mark. JSON inside JSON escapes it with backslashes.
const quote = `\\*["'\x60]`

var (
	userInfo = regexp.MustCompile(`(://)([^\s/@\[\]]+)@`)
	bearer   = regexp.MustCompile(`(?i)(\b(?:bearer[\s:=("'\[{<]+)+)` + value)
	basic    = regexp.MustCompile(`(?i)(\bbasic\s+)` + value)
	token    = regexp.MustCompile(`(?i)(\btoken\s+)` + value)
	inQuotes = regexp.MustCompile(`(?i)((?:` + names + `)(?:` + quote + `)?\s*(?::|:?=>?)\s*` + quote + `)([^"'\x60\\]+)`)
	assigned = regexp.MustCompile(`(?i)((?:` + names + `)(?:` + quote + `)?\s*:?=>?\s*)` + value)
	named    = regexp.MustCompile(`(?i)((?:` + names + `)(?:` + quote + `)?\s*:\s*)` + value)

	// known matches tokens that can be recognized by their beginning.
	known = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_=-]*)*` +
		`|\b(?:gh[oprsu]_|github_pat_|gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|oas|imt|agent)-|xox[a-z][.-]|xapp-` +
		`|ya29\.|1//0|AIza|shp(?:at|ca|pa|ss)_|do[opr]_v1_|dckr_pat_|figd_|sq0[a-z]{3}-|whsec_|ATATT|ATCTT` +
		`|lin_(?:api|oauth)_|ntn_|hv[sb]\.|pypi-AgE|pat-(?:na|eu)[0-9]-|sk_|rk_(?:live|test)_|SG\.)` + tail + `{6,}` +
		`|\b(?:AKIA|ASIA)[A-Z0-9]{12,}`)

	// ordinary matches values with which a sentence can go on: a word, words joined by dashes,
	// a number, an HTTP version.
	ordinary = regexp.MustCompile(`^(?:/?[A-Z]?[a-z]+(?:[-_./][a-z]+)*|[A-Z]+|HTTP/[0-9.]+` +
		`|[0-9]{1,6}|[a-z]+[0-9]{1,4})?[.:!?…]*$`)
	// afterBearer matches words that follow "Bearer" in a sentence or in a challenge, and that
	// are not credentials.
	afterBearer = regexp.MustCompile(`(?i)^(?:tokens?|auth\w*|credentials?|headers?|scheme|prefix|keys?` +
		`|realm=|error=|scope=` +
		`|redacted|is|was|must|may|not|and|or|in|of|has|cannot|missing|required|expired|invalid)?[.:!?…]*$`)
)

// names are the names, or the ends of names, whose values are secret.
const names = `token|secret|passwd|password|passphrase|pwd|key|authorization|credentials?` +
	`|cookie|assertion|signature|jwt`

// tail matches a character of a token.
const tail = `[A-Za-z0-9_+/=.~%-]`

// strike redacts the credentials in text once. Text repeats it.
func strike(text string) string {
	text = strikeValues(text, userInfo, nil)
	text = strikeValues(text, bearer, afterBearer.MatchString)
	text = strikeValues(text, basic, isOrdinary)
	text = strikeValues(text, token, isOrdinary)
	text = strikeValues(text, inQuotes, nil)
	text = strikeValues(text, assigned, nil)
	text = strikeValues(text, named, isOrdinary)
	text = known.ReplaceAllString(text, placeholder)
	return strikeRandom(text)
}

func isOrdinary(value string) bool { return ordinary.MatchString(value) || ids.MatchString(value) }

// strikeValues redacts the second group of each match, unless keep reports that it is no secret.
func strikeValues(text string, pattern *regexp.Regexp, keep func(string) bool) string {
	var struck strings.Builder
	end := 0
	for _, match := range pattern.FindAllStringSubmatchIndex(text, -1) {
		from, to := match[4], match[5]
		if value := text[from:to]; value == placeholder || keep != nil && keep(value) {
			continue
		}
		struck.WriteString(text[end:from])
		struck.WriteString(placeholder)
		end = to
	}
	struck.WriteString(text[end:])
	return struck.String()
}
