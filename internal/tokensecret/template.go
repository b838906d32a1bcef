package tokensecret

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
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
	// APIKeyKey is the only key with AuthMethodAPIKey.
	APIKeyKey = "api_key"
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
	// Token is an access token or, with AuthMethodAPIKey, an API key.
	Token redact.String
	// ExpiresAt is zero if the token has no known expiry. A template sees RFC 3339 in UTC, or
	// an empty string.
	ExpiresAt      time.Time
	Scopes         []string
	Slug           string
	UserID         string
	OrganizationID string
	// Metadata and Config are JSON objects, or empty if WorkOS has returned none.
	Metadata, Config redact.String
}

// Template turns a token into the data of a Secret.
type Template struct {
	method v1alpha1.AuthMethod
	// entries is nil if the Secret has the default keys.
	entries map[string]*template.Template
	hash    string
}

// Compile parses the templates of a PipesToken's spec, and renders them with the samples. This
// finds errors before a token is involved, so the text of an error can be reported in full.
// Compile rejects labels and annotations that other controllers act on, except those of the
// domains in allowedMetadata.
func Compile(token v1alpha1.PipesTokenSpec, allowedMetadata ...string) (*Template, error) {
	spec := token.SecretTemplate
	compiled := &Template{method: token.AuthMethod, hash: defaultHashes[token.AuthMethod]}
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
		entry, err := compileEntry(key, text, token.AuthMethod)
		if err != nil {
			return nil, fmt.Errorf("secretTemplate.data[%q]: %w", key, err)
		}
		compiled.entries[key] = entry
		hashed = append(hashed, key, text)
	}
	compiled.hash = hashOf(hashed...)
	return compiled, nil
}

// defaultHashes are the hashes of the default keys. They differ where the keys differ. The method
// of an object that was stored before the CRD had methods is empty, and means OAuth.
var defaultHashes = map[v1alpha1.AuthMethod]string{
	"":                                   hashOf("default"),
	v1alpha1.AuthMethodOAuth:             hashOf("default"),
	v1alpha1.AuthMethodClientCredentials: hashOf("default"),
	v1alpha1.AuthMethodAPIKey:            hashOf("default", APIKeyKey),
}

func compileEntry(key, text string, method v1alpha1.AuthMethod) (*template.Template, error) {
	entry, err := template.New(key).Funcs(functions).Parse(text)
	if err == nil {
		err = check(entry, method)
	}
	for i := 0; err == nil && i < len(samples); i++ {
		_, err = execute(entry, viewOf(method, samples[i], true))
	}
	return entry, err
}

// samples take the place of tokens when a template is compiled. The first has everything that a
// token can have. The second lacks everything optional. A template may have a branch for
// either.
var samples = []Values{
	{
		Token: redact.NewString("sample"), ExpiresAt: time.Unix(0, 0), Scopes: []string{"sample"},
		Slug: "sample", UserID: "sample", OrganizationID: "sample",
	},
	{Token: redact.NewString("sample"), Slug: "sample", UserID: "sample"},
}

// Hash identifies the output of the template: two templates with the same hash give the same
// data.
func (t *Template) Hash() string { return t.hash }

// Keys returns the keys that the template writes for a token with or without a known expiry.
func (t *Template) Keys(hasExpiry bool) []string {
	switch {
	case t.entries != nil:
		return slices.Sorted(maps.Keys(t.entries))
	case t.method == v1alpha1.AuthMethodAPIKey:
		return []string{APIKeyKey}
	case hasExpiry:
		return []string{AccessTokenKey, ExpiresAtKey, ScopesKey}
	default:
		return []string{AccessTokenKey, ScopesKey}
	}
}

// Render returns the data of the Secret. An error names the key and never quotes a value.
func (t *Template) Render(values Values) (map[string][]byte, error) {
	if t.entries == nil {
		return t.defaultData(values), nil
	}
	view := viewOf(t.method, values, false)
	data := make(map[string][]byte, len(t.entries))
	for key, entry := range t.entries {
		value, err := execute(entry, view)
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

func (t *Template) defaultData(values Values) map[string][]byte {
	if t.method == v1alpha1.AuthMethodAPIKey {
		return map[string][]byte{APIKeyKey: []byte(values.Token.Reveal())}
	}
	data := map[string][]byte{
		AccessTokenKey: []byte(values.Token.Reveal()),
		ScopesKey:      []byte(strings.Join(values.Scopes, " ")),
	}
	if !values.ExpiresAt.IsZero() {
		data[ExpiresAtKey] = []byte(formatTime(values.ExpiresAt))
	}
	return data
}

func execute(entry *template.Template, view any) ([]byte, error) {
	out := &boundedBuffer{}
	metered, err := entry.Clone()
	if err != nil {
		return nil, err
	}
	err = metered.Funcs(new(meter).functions()).Execute(out, view)
	return out.bytes, err
}

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
