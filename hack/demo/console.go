package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// columns is the width of the text. It fits a terminal with 80 columns.
const columns = 78

// Colours of the console, as SGR parameters.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

// console writes the output of the demo for the user.
type console struct {
	out    io.Writer
	colour bool
	// broken is called when writing to out fails. It may be nil.
	broken func(error)

	parted bool // the last line is empty
}

// printf formats and writes text, as fmt.Fprintf does.
func (c *console) printf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	c.parted = text == "\n" || strings.HasSuffix(text, "\n\n")
	if _, err := io.WriteString(c.out, text); err != nil && c.broken != nil {
		c.broken(fmt.Errorf("writing to stdout: %w", err))
	}
}

// gap writes an empty line, unless the last line is empty already.
func (c *console) gap() {
	if !c.parted {
		c.printf("\n")
	}
}

// paint colours the text if the console has colours.
func (c *console) paint(colour, text string) string {
	if !c.colour || text == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// title writes the title of a step.
func (c *console) title(text string) {
	c.gap()
	c.printf("%s\n", c.paint(bold, text))
}

// say writes sentences and wraps them.
func (c *console) say(text string) {
	c.gap()
	for _, line := range wrap(text, columns-len(indent)) {
		c.printf("%s%s\n", indent, line)
	}
	c.gap()
}

// command writes a command line of the user.
func (c *console) command(line string) {
	c.block(line, func(line string) string { return c.paint(cyan, line) })
}

// output writes the output of a command.
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

// passed reports that a check succeeded.
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

// busy prints a description, runs do, and prints how long it took.
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

// wrap breaks text at spaces into lines of at most width characters.
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

// shellLine formats words as a shell command. A command that is too long continues on more
// lines.
func shellLine(words ...string) string {
	text, length := "$", 1
	for i, word := range words {
		// Keep two columns free for " \".
		if i > 0 && length+1+len(word) > columns-len(indent)-2 {
			text += " \\\n   "
			length = 3
		}
		text += " " + word
		length += 1 + len(word)
	}
	return text
}

// quote quotes a word so that a shell does not interpret it.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:=@%+,", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
