package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns text as one line that shows every character it has: runs of white space become one space, and
// characters that nobody sees (control, format and zero-width characters) are removed. So a word that such characters
// split is whole again, and can be recognized. Bytes that are not UTF-8 become U+FFFD.
func Printable(text string) string {
	var line strings.Builder
	line.Grow(min(len(text), maxText))
	last, space := rune(-1), false
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case unicode.IsSpace(r):
			space = last >= 0
		case !visible(r), unicode.Is(unicode.M, r) && last < utf8.RuneSelf && !space:
			// A mark on a letter of ASCII is a way to split a word, too.
		default:
			if space {
				line.WriteByte(' ')
			}
			line.WriteRune(r)
			last, space = r, false
		}
	}
	return line.String()
}

// visible says whether r shows as something of its own. Variation selectors and fillers count as printable in Go.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Cut keeps the first limit characters of text, without half a placeholder or a space at the end.
func Cut(text string, limit int) string {
	count := 0
	for i := range text {
		if count < limit {
			count++
			continue
		}
		text = text[:i]
		if begin := strings.LastIndexByte(text, '['); begin >= 0 && text[begin:] != placeholder && strings.HasPrefix(placeholder, text[begin:]) {
			text = text[:begin]
		}
		return strings.TrimRight(text, " ")
	}
	return text
}
