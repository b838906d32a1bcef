package redact

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

// maxText bounds what Text returns before it strikes anything, in bytes. A condition shows 256 characters of it.
const maxText = 8 << 10

// Text returns text that somebody else wrote (an error of WorkOS, of the API server or of an admission webhook), fit to
// be quoted in a condition, an event or a log. It makes the text Printable, and then puts "[redacted]" in the place of
//
//   - each of the secrets, also where they are encoded as base64 or for a URL;
//   - what follows "Bearer" or "Basic", and the user and password of a URL;
//   - the value of a name such as token, password, secret or key: token=..., "api_key":"...", password: ...;
//   - JSON Web Tokens, and what begins as the tokens of known providers do (ghp_, xoxb-, ya29., sk_, AKIA ...);
//   - runs of 20 or more of [A-Za-z0-9_+/=.~%-] that look random, letters mixed with digits.
//
// Words joined by dashes, CamelCase, hosts and paths, digests of images (sha256:...), UUIDs and WorkOS's IDs
// (user_01..., data_installation_01...) stay, because support needs them. What is longer than 8 KiB is cut off at a
// space. Text of a text that it has returned changes nothing.
//
// Secrets are struck wherever their characters occur: pass tokens and keys, and not short words.
func Text(text string, secrets ...String) string {
	text = Exact(Printable(text), secrets...)
	for { // Each round leaves fewer characters outside of placeholders; most texts take one or two.
		struck := strike(bound(text))
		if struck == text {
			return text
		}
		text = struck
	}
}

// Exact puts "[redacted]" in the place of each of the secrets, also where they are encoded as base64 or for a URL.
func Exact(text string, secrets ...String) string {
	for _, secret := range secrets {
		for _, form := range spellings(secret.Reveal()) {
			if form != "" { // as the printable form of white space is
				text = strings.ReplaceAll(text, form, placeholder)
			}
		}
	}
	return text
}

// spellings are the ways in which Exact finds a secret in text. The last characters of its base64 depend on what follows it,
// and so does the padding: they are left out where there is enough without them.
func spellings(secret string) []string {
	all := []string{secret, Printable(secret), url.QueryEscape(secret)}
	if len(secret) >= 8 {
		whole := secret[:len(secret)/3*3]
		all = append(all, base64.StdEncoding.EncodeToString([]byte(whole)), base64.URLEncoding.EncodeToString([]byte(whole)))
	}
	return all
}

// bound cuts text at the last space within maxText, so that no word loses the part it is recognized by.
func bound(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:max(strings.LastIndexByte(text[:maxText+1], ' '), 0)]
}

// value is what a name or a scheme can be followed by, without the quotes and brackets around it.
const value = `([^\s"'\x60\\()\[\]{}<>,;&|]+)`

// quote is a quotation mark, which JSON inside of JSON escapes.
const quote = `\\*["'\x60]`

var (
	userInfo = regexp.MustCompile(`(://)([^\s/@\[\]]+)@`)
	bearer   = regexp.MustCompile(`(?i)(\b(?:bearer[\s:=("'\[{<]+)+)` + value)
	basic    = regexp.MustCompile(`(?i)(\bbasic\s+)` + value)
	token    = regexp.MustCompile(`(?i)(\btoken\s+)` + value)
	inQuotes = regexp.MustCompile(`(?i)((?:` + names + `)(?:` + quote + `)?\s*(?::|:?=>?)\s*` + quote + `)([^"'\x60\\]+)`)
	assigned = regexp.MustCompile(`(?i)((?:` + names + `)(?:` + quote + `)?\s*:?=>?\s*)` + value)
	named    = regexp.MustCompile(`(?i)((?:` + names + `)(?:` + quote + `)?\s*:\s*)` + value)

	// known are the tokens that can be told by how they begin.
	known = regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_=-]*)*` +
		`|\b(?:gh[oprsu]_|github_pat_|gl(?:pat|dt|rt|rtr|cbt|ptt|ft|soat|oas|imt|agent)-|xox[a-z][.-]|xapp-|ya29\.|1//0|AIza` +
		`|shp(?:at|ca|pa|ss)_|do[opr]_v1_|dckr_pat_|figd_|sq0[a-z]{3}-|whsec_|ATATT|ATCTT|lin_(?:api|oauth)_|ntn_|hv[sb]\.` +
		`|pypi-AgE|pat-(?:na|eu)[0-9]-|sk_|rk_(?:live|test)_|SG\.)` + tail + `{6,}` +
		`|\b(?:AKIA|ASIA)[A-Z0-9]{12,}`)

	// ordinary are values that a sentence can go on with: a word, or words joined by dashes, a number, an HTTP version.
	ordinary = regexp.MustCompile(`^(?:/?[A-Z]?[a-z]+(?:[-_./][a-z]+)*|[A-Z]+|HTTP/[0-9.]+|[0-9]{1,6}|[a-z]+[0-9]{1,4})?[.:!?…]*$`)
	// afterBearer are words that follow "Bearer" in a sentence, or in a challenge, and are no credential.
	afterBearer = regexp.MustCompile(`(?i)^(?:tokens?|auth\w*|credentials?|headers?|scheme|prefix|keys?|realm=|error=|scope=` +
		`|redacted|is|was|must|may|not|and|or|in|of|has|cannot|missing|required|expired|invalid)?[.:!?…]*$`)
)

// names are those whose values are secret, or how they end.
const names = `token|secret|passwd|password|passphrase|pwd|key|authorization|credentials?|cookie|assertion|signature|jwt`

// tail is what tokens are made of.
const tail = `[A-Za-z0-9_+/=.~%-]`

// strike goes through text once.
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

// strikeValues strikes the second group of each match, unless keep says that it is no secret.
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
