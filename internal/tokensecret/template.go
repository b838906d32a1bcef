package tokensecret

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// Keys of the Secret if the template defines no keys.
const (
	AccessTokenKey = "access_token"
	ExpiresAtKey   = "expires_at"
	ScopesKey      = "scopes"
)

// maxValue bounds the bytes of one value of the Secret, and of each result of a template
// function. The CRD allows sixteen values, which stay within the 1 MiB that the API server
// allows for a Secret.
const maxValue = 60 << 10

var (
	errTooLong = fmt.Errorf("the result is longer than %d bytes", maxValue)
	errTooMuch = fmt.Errorf("its functions return more than %d bytes in all", maxWork)
)

// Values are the values that a template can use.
type Values struct {
	AccessToken redact.String
	// ExpiresAt is zero if the token has no known expiry. A template sees RFC 3339 in UTC, or
	// an empty string.
	ExpiresAt      time.Time
	Scopes         []string
	Slug           string
	UserID         string
	OrganizationID string
}

// Template turns a token into the data of a Secret.
type Template struct {
	// entries is nil if the Secret has the default keys.
	entries map[string]*template.Template
	hash    string
}

// Compile parses the templates of spec, which may be nil, and renders them with the samples.
// This finds errors before a token is involved, so the text of an error can be reported in
// full. Compile rejects labels and annotations that other controllers act on, except those of
// the domains in allowedMetadata.
func Compile(spec *v1alpha1.SecretTemplate, allowedMetadata ...string) (*Template, error) {
	compiled := &Template{hash: hashOf("default")}
	if spec == nil {
		return compiled, nil
	}
	if err := checkMetadata(spec, allowedMetadata); err != nil {
		return nil, err
	}
	if len(spec.Data) == 0 {
		return compiled, nil
	}
	compiled.entries = make(map[string]*template.Template, len(spec.Data))
	hashed := []string{"data"}
	for _, key := range slices.Sorted(maps.Keys(spec.Data)) {
		text := string(spec.Data[key])
		entry, err := template.New(key).Funcs(functions).Parse(text)
		if err == nil {
			err = check(entry)
		}
		for i := 0; err == nil && i < len(samples); i++ {
			_, err = execute(entry, samples[i])
		}
		if err != nil {
			return nil, fmt.Errorf("secretTemplate.data[%q]: %w", key, err)
		}
		compiled.entries[key] = entry
		hashed = append(hashed, key, text)
	}
	compiled.hash = hashOf(hashed...)
	return compiled, nil
}

// samples take the place of tokens when a template is compiled. The first has everything that a
// token can have. The second lacks everything optional. A template may have a branch for
// either.
var samples = []Values{
	{
		AccessToken: redact.NewString("sample"), ExpiresAt: time.Unix(0, 0), Scopes: []string{"sample"},
		Slug: "sample", UserID: "sample", OrganizationID: "sample",
	},
	{AccessToken: redact.NewString("sample"), Slug: "sample", UserID: "sample"},
}

// Hash identifies the output of the template: two templates with the same hash give the same
// data.
func (t *Template) Hash() string { return t.hash }

// Keys returns the keys that the template writes for a token with or without a known expiry.
func (t *Template) Keys(hasExpiry bool) []string {
	switch {
	case t.entries != nil:
		return slices.Sorted(maps.Keys(t.entries))
	case hasExpiry:
		return []string{AccessTokenKey, ExpiresAtKey, ScopesKey}
	default:
		return []string{AccessTokenKey, ScopesKey}
	}
}

// Render returns the data of the Secret. An error names the key and never quotes a value.
func (t *Template) Render(values Values) (map[string][]byte, error) {
	if t.entries == nil {
		return defaultData(values), nil
	}
	data := make(map[string][]byte, len(t.entries))
	for key, entry := range t.entries {
		value, err := execute(entry, values)
		if err != nil {
			// The cause may quote the token. If a template fails with this token but not with
			// the samples, the reason is mostly the length.
			return nil, fmt.Errorf("secretTemplate.data[%q] cannot be rendered with this token, "+
				"or the result is longer than %d bytes", key, maxValue)
		}
		data[key] = value
	}
	return data, nil
}

func defaultData(values Values) map[string][]byte {
	data := map[string][]byte{
		AccessTokenKey: []byte(values.AccessToken.Reveal()),
		ScopesKey:      []byte(strings.Join(values.Scopes, " ")),
	}
	if !values.ExpiresAt.IsZero() {
		data[ExpiresAtKey] = []byte(formatTime(values.ExpiresAt))
	}
	return data
}

func execute(entry *template.Template, values Values) ([]byte, error) {
	out := &boundedBuffer{}
	expiresAt := ""
	if !values.ExpiresAt.IsZero() {
		expiresAt = formatTime(values.ExpiresAt)
	}
	scopes := values.Scopes
	if scopes == nil {
		scopes = []string{} // [] in JSON, not null
	}
	metered, err := entry.Clone()
	if err != nil {
		return nil, err
	}
	err = metered.Funcs(new(meter).functions()).Execute(out, view{
		values.AccessToken.Reveal(),
		expiresAt,
		scopes,
		values.Slug,
		values.UserID,
		values.OrganizationID,
	})
	return out.bytes, err
}

// view is the form in which a template sees the values.
type view struct {
	AccessToken, ExpiresAt       string
	Scopes                       []string
	Slug, UserID, OrganizationID string
}

// fields are the fields of view, as a template names them.
var fields = func() []string {
	var names []string
	for _, field := range reflect.VisibleFields(reflect.TypeFor[view]()) {
		names = append(names, "."+field.Name)
	}
	return names
}()

// boundedBuffer returns an error instead of growing beyond maxValue.
type boundedBuffer struct{ bytes []byte }

func (b *boundedBuffer) Write(p []byte) (int, error) {
	if len(b.bytes)+len(p) > maxValue {
		return 0, errTooLong
	}
	b.bytes = append(b.bytes, p...)
	return len(p), nil
}

// hashOf returns a short digest of the parts. The length of each part is included, so that
// ("a", "b") and ("ab") differ.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, part := range parts {
		_, _ = fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
