package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// columns is how wide the text is: it fits a terminal of 80.
const columns = 78

// The colours of the console, as SGR parameters.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// console writes to the person in front of it.
type console struct {
	out    io.Writer
	colour bool
	// broken is told when nobody reads the output any more. Nil: nobody is told.
	broken func(error)

	parted bool // the last line is empty
}

// printf writes as fmt.Fprintf does.
func (c *console) printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.parted = text == "\n" || strings.HasSuffix(text, "\n\n")
	if _, err := io.WriteString(c.out, text); err != nil && c.broken != nil {
		c.broken(fmt.Errorf("writing to stdout: %w", err))
	}
}

// gap writes an empty line, unless there is one.
func (c *console) gap() {
	if !c.parted {
		c.printf("\n")
	}
}

// paint colours text, if there is colour.
func (c *console) paint(colour, text string) string {
	if !c.colour || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// title begins a step.
func (c *console) title(text string) {
	c.gap()
	c.printf("%s\n", c.paint(bold, text))
}

// say writes sentences, wrapped.
func (c *console) say(text string) {
	c.gap()
	for _, line := range wrap(text, columns-len(indent)) {
		c.printf("%s%s\n", indent, line)
	}
	c.gap()
}

// command writes what a user would type.
func (c *console) command(line string) {
	c.block(line, func(line string) string { return c.paint(cyan, line) })
}

// output writes what a command has answered.
func (c *console) output(text string) {
	c.block(text, func(line string) string { return line })
}

func (c *console) block(text string, paint func(string) string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, " \n"); line != "" {
			line = indent + paint(line)
		}
		c.printf("%s\n", line)
	}
}

// passed says that something was checked and found to be so.
func (c *console) passed(what, seen string) {
	if seen != "" {
		what += ": " + seen
	}
	for i, line := range wrap(what, columns-len(indent)-2) {
		mark := " "
		if i == 0 {
			mark = c.paint(green, "✓")
		}
		c.printf("%s%s %s\n", indent, mark, line)
	}
}

// busy says what is being done, does it, and says how long it took.
func (c *console) busy(what string, do func() error) error {
	began := time.Now()
	c.printf("%s%-56s", indent, what)
	err := do()
	switch {
	case errors.Is(err, errStopped):
		c.printf("stopped\n")
	case err != nil:
		c.printf("%s\n", c.paint(red, "failed"))
	default:
		c.printf("%5.1f s\n", time.Since(began).Seconds())
	}
	return err
}

const indent = "  "

// wrap breaks text into lines of at most width characters, at spaces.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	return append(lines, line)
}

// shellLine writes words as one command for a shell, over several lines where it is too long for one.
func shellLine(words ...string) string {
	text, length := "$", 1
	for i, word := range words {
		// Two columns stay free for " \".
		if i > 0 && length+1+len(word) > columns-len(indent)-2 {
			text += " \\\n   "
			length = 3
		}
		text += " " + word
		length += 1 + len(word)
	}
	return text
}

// quote writes a word so that a shell takes it as it is.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
