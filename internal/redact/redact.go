// Package redact keeps sensitive text out of everything that prints: logs, errors, JSON, panics.
package redact

import (
	"fmt"
	"io"
	"log/slog"
)

// placeholder is printed in place of the text.
const placeholder = "[redacted]"

// String is sensitive text: an access token or an API key. Only Reveal returns the text. fmt
// (every verb), encoding/json, log/slog, logr and text encoders print a placeholder. A function
// holds the text, so that a printer that reads unexported fields by reflection finds only an
// address. fmt reads them inside other structs. k8s.io/utils/dump reads them everywhere: it
// follows pointers and calls no methods.
//
// The zero String holds the empty text. Compare the revealed texts: == does not compile for
// Strings, and reflect.DeepEqual treats all Strings as different, except zero Strings.
type String struct {
	reveal func() string
}

// NewString wraps sensitive text.
func NewString(text string) String {
	return String{reveal: func() string { return text }}
}

// Reveal returns the text itself. Check each call of it in code review.
func (s String) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// Format implements fmt.Formatter, for every verb and flag.
func (s String) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, placeholder)
}

// String implements fmt.Stringer.
func (s String) String() string { return placeholder }

// GoString implements fmt.GoStringer.
func (s String) GoString() string { return placeholder }

// MarshalText implements encoding.TextMarshaler, and with it JSON map keys and YAML.
func (s String) MarshalText() ([]byte, error) { return []byte(placeholder), nil }

// MarshalJSON implements json.Marshaler.
func (s String) MarshalJSON() ([]byte, error) { return []byte(`"` + placeholder + `"`), nil }

// LogValue implements slog.LogValuer.
func (s String) LogValue() slog.Value { return slog.StringValue(placeholder) }

// MarshalLog implements logr.Marshaler.
func (s String) MarshalLog() any { return placeholder }
