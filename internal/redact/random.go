package redact

import (
	"regexp"
	"strings"
)

// minRun is the length, in characters, from which a run is judged by its looks.
const minRun = 20

var (
	runs = regexp.MustCompile(`[A-Za-z0-9_+/=.~%-]{20,}`)
	// parts matches the pieces of paths, hosts and assignments.
	parts    = regexp.MustCompile(`[^/=.~%]+`)
	segments = regexp.MustCompile(`[A-Za-z0-9]+`)
	// ids matches identifiers, which give access to nothing: UUIDs, and WorkOS's IDs, which end
	// in a ULID. The ULIDs of this time begin with 01.
	ids = regexp.MustCompile(`\b[a-z]+(?:_[a-z]+)*_01[0-9A-HJKMNP-TV-Z]{24}\b` +
		`|\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b`)
	// digest matches the digest of a container image without the algorithm. The algorithm is
	// not part of the run: it precedes the run.
	digest = regexp.MustCompile(`^[0-9a-f]{64}$`)
	// host matches the host that follows the scheme of a URL.
	host = regexp.MustCompile(`^//[a-z0-9-]+(?:\.[a-z0-9-]+)+`)
)

// strikeRandom redacts the runs of text that look random, or those parts of a run that do.
func strikeRandom(text string) string {
	var struck strings.Builder
	end := 0
	for _, at := range runs.FindAllStringIndex(text, -1) {
		before, run := text[:at[0]], text[at[0]:at[1]]
		struck.WriteString(text[end:at[0]])
		end = at[1]
		if strings.HasSuffix(before, "sha256:") && digest.MatchString(run) {
			struck.WriteString(run)
			continue
		}
		if strings.HasSuffix(before, ":") {
			name := host.FindString(run)
			struck.WriteString(name)
			run = run[len(name):]
		}
		struck.WriteString(strikeRun(run))
	}
	struck.WriteString(text[end:])
	return struck.String()
}

func strikeRun(run string) string {
	if random(run) {
		return placeholder
	}
	return parts.ReplaceAllStringFunc(run, func(part string) string {
		if random(part) {
			return placeholder
		}
		return part
	})
}

// random reports whether a run cannot be a name that people or programs make of words. There are
// two signs of a random run. First, segments between its separators are not words: a long segment
// with digits, or several segments that are together at least half of the run. Second, capitals,
// other letters and digits alternate often. Encoded random bytes look like a name only by chance.
func random(run string) bool {
	run = ids.ReplaceAllString(run, "")
	if len(run) < minRun {
		return false
	}
	odd, all := 0, 0
	for _, segment := range segments.FindAllString(run, -1) {
		all += len(segment)
		if word(segment) {
			continue
		}
		odd += len(segment)
		if len(segment) >= 16 && strings.ContainsAny(segment, numerals) {
			return true
		}
	}
	return odd >= 10 && 2*odd >= all || mixed(run) && 6*turns(run) >= all
}

const (
	numerals = "0123456789"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// words matches a number, letters of one case, a word with numbers after it (v1alpha1), a
// quantity (250m), or the random part of the names of Pods and ReplicaSets.
var words = regexp.MustCompile(`^(?:[0-9]+|[A-Z]?[a-z]{1,39}|[A-Z]{1,39}` +
	`|[A-Za-z]?[a-z]*[0-9]{1,4}(?:[a-z]+[0-9]{1,4})?` +
	`|[0-9]+[A-Za-z]{1,3}|[bcdfghjklmnpqrstvwxz2456789]{1,10})$`)

// word reports whether people or programs could have made a segment. CamelCase counts as words
// if these have at least four letters on average. In random letters they have fewer.
func word(segment string) bool {
	return words.MatchString(segment) || !strings.ContainsAny(segment, numerals) && len(segment) >= 4*humps(segment)
}

// humps counts the words of CamelCase. An acronym counts as one word.
func humps(segment string) int {
	count := 1
	for i := 1; i < len(segment); i++ {
		before, here := class(segment[i-1]), class(segment[i])
		next := i+1 < len(segment) && class(segment[i+1]) == lower
		if here == upper && (before == lower || before == upper && next) {
			count++
		}
	}
	return count
}

// mixed reports whether a run has digits and letters of both cases.
func mixed(run string) bool {
	return strings.ContainsAny(run, numerals) && strings.ContainsAny(run, capitals) && strings.ToUpper(run) != run
}

// turns counts how often the kind of character changes within a segment. It does not count the
// change after a capital that begins a word.
func turns(run string) int {
	count := 0
	for i := 1; i < len(run); i++ {
		before, here := class(run[i-1]), class(run[i])
		if before != here && before != separator && here != separator && (before != upper || here != lower) {
			count++
		}
	}
	return count
}

// kind is a kind of character.
type kind int

const (
	separator kind = iota
	digit
	upper
	lower
)

func class(c byte) kind {
	switch {
	case '0' <= c && c <= '9':
		return digit
	case 'A' <= c && c <= 'Z':
		return upper
	case 'a' <= c && c <= 'z':
		return lower
	}
	return separator
}
