package redact

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns text as one line in which every character is visible. A run of white space
// becomes one space. Invisible characters (control, format and zero-width characters) are
// removed, so that a word that they split is whole again and can be recognized. Bytes that are
// not UTF-8 become U+FFFD.
func Printable(text string) string {
	var line strings.Builder
	line.Grow(min(len(text), maxText))
	last, space := rune(-1), false
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case unicode.IsSpace(r):
			space = last >= 0
		case !visible(r), unicode.Is(unicode.M, r) && last < utf8.RuneSelf && !space:
			// A combining mark on an ASCII letter can also split a word.
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

// visible reports whether r is visible on its own. Go counts variation selectors and fillers as
// printable.
func visible(r rune) bool {
	return unicode.IsPrint(r) && !unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Cut keeps the first limit characters of text. If it cuts, it also removes half a placeholder
// and spaces at the end.
func Cut(text string, limit int) string {
	count := 0
	for i := range text {
		if count < limit {
			count++
			continue
		}
		text = text[:i]
		if begin := strings.LastIndexByte(text, '['); begin >= 0 && text[begin:] != placeholder &&
			strings.HasPrefix(placeholder, text[begin:]) {
			text = text[:begin]
		}
		return strings.TrimRight(text, " ")
	}
	return text
}
