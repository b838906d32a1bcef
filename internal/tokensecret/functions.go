package tokensecret

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"text/template"
)

// maxWork bounds the total bytes that the functions return for one value of the Secret. Anybody
// who may create a PipesToken can write a template, and each reconcile executes it with the
// samples.
const maxWork = 4 * maxValue

// meter counts the bytes that the functions return in one execution of a template.
type meter struct{ spent int }

// functions returns all functions that a template can call. Each is pure and bounds its result,
// because repeated calls of b64enc make a value grow without limit.
func (m *meter) functions() template.FuncMap {
	return template.FuncMap{
		"b64enc":   func(s string) (string, error) { return m.bounded(base64.StdEncoding.EncodeToString([]byte(s))) },
		"quote":    func(s string) (string, error) { return m.toJSON(s) },
		"toJson":   m.toJSON,
		"join":     func(separator string, list []string) (string, error) { return m.bounded(strings.Join(list, separator)) },
		"index":    m.index,
		"urlquery": func(s string) (string, error) { return m.bounded(url.QueryEscape(s)) },
	}
}

// functions are for parsing. Each execution has functions with a meter of its own.
var functions = new(meter).functions()

func (m *meter) toJSON(value any) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", errors.New("the value cannot be written as JSON")
	}
	return m.bounded(string(text))
}

// index returns one value of the metadata or the config, or one scope. It is empty if there is no
// such value, as in the default data: a template can test for it.
func (m *meter) index(collection, key any) (string, error) {
	name, isName := key.(string)
	number, isNumber := key.(int)
	switch values := collection.(type) {
	case properties:
		if isName {
			return m.bounded(values.get(name))
		}
	case []string:
		if isNumber && number >= 0 && number < len(values) {
			return m.bounded(values[number])
		}
		if isNumber {
			return "", nil
		}
	}
	return "", errors.New("index takes .Metadata or .Config and a name, or .Scopes and a number")
}

func (m *meter) bounded(s string) (string, error) {
	if len(s) > maxValue {
		return "", errTooLong
	}
	if m.spent += len(s); m.spent > maxWork {
		return "", errTooMuch
	}
	return s, nil
}
