package workossim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	kjson "sigs.k8s.io/json"
)

// duration is a JSON value that should be a duration such as "45s". It is parsed later, when
// the name of its field is known.
type duration struct{ raw string }

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(raw []byte) error {
	if string(raw) != "null" {
		d.raw = string(raw)
	}
	return nil
}

func (d duration) given() bool { return d.raw != "" }

func (d duration) parse(field string) (time.Duration, error) {
	if !d.given() {
		return 0, nil
	}
	var text string
	if err := json.Unmarshal([]byte(d.raw), &text); err == nil {
		if parsed, err := time.ParseDuration(text); err == nil {
			return parsed, nil
		}
	}
	return 0, fmt.Errorf("%s: %s is not a duration: write it as text with units, such as 45s or 1h30m", field, d.raw)
}

func (d duration) atLeastZero(field string) (time.Duration, error) {
	parsed, err := d.parse(field)
	if err == nil && parsed < 0 {
		err = fmt.Errorf("%s: %s is negative: use 0s or more", field, d.raw)
	}
	return parsed, err
}

// decodeStrict reads JSON. Field names are case-sensitive. Unknown and repeated fields are
// errors that name the field.
func decodeStrict(data []byte, into any) error {
	strict, err := kjson.UnmarshalStrict(data, into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType):
		// ID is an embedded struct, and not a field in JSON.
		field := cmp.Or(strings.ReplaceAll(wrongType.Field, "ID.", ""), "the whole")
		return fmt.Errorf("%s: wrong type (%s): use %s", field, wrongType.Value, expected(wrongType.Type))
	case err != nil:
		return err
	case len(strict) > 0:
		return fmt.Errorf("%w: correct or remove it", strict[0])
	default:
		return nil
	}
}

// expected describes the values of a type, for an error message.
func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Slice:
		return "a list"
	default:
		return "an object with fields"
	}
}

// firstOf returns the first error, so that a message has one line.
func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
