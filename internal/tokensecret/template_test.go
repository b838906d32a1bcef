package tokensecret_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// canary is a token that is easy to find where it must not be.
const canary = `gho_CANARY-"5up3r"<&>s3cr3t`

var expiry = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

// values returns a token that has everything that a token can have.
func values() tokensecret.Values {
	return tokensecret.Values{
		Token: redact.NewString(canary), ExpiresAt: expiry, Scopes: []string{"repo", "user:email"},
		Slug: "github", UserID: "user_alice", OrganizationID: "org_acme",
	}
}

// bare returns a token that lacks everything optional.
func bare() tokensecret.Values {
	return tokensecret.Values{Token: redact.NewString(canary), Slug: "github", UserID: "user_alice"}
}

func specOf(data map[string]string) *v1alpha1.SecretTemplate {
	spec := &v1alpha1.SecretTemplate{Data: map[string]v1alpha1.DataTemplate{}}
	for key, text := range data {
		spec.Data[key] = v1alpha1.DataTemplate(text)
	}
	return spec
}

func compile(t *testing.T, data map[string]string) *tokensecret.Template {
	t.Helper()
	template, err := compileTemplate(specOf(data))
	if err != nil {
		t.Fatal(err)
	}
	return template
}

// render returns the data as text.
func render(t *testing.T, template *tokensecret.Template, values tokensecret.Values) map[string]string {
	t.Helper()
	data, err := template.Render(values)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for key, value := range data {
		texts[key] = string(value)
	}
	return texts
}

func TestWithoutATemplateTheSecretHasTheDefaultKeys(t *testing.T) {
	for name, spec := range map[string]*v1alpha1.SecretTemplate{
		"no template":    nil,
		"empty template": {},
		"empty data":     {Data: map[string]v1alpha1.DataTemplate{}},
		"other fields": {Type: v1alpha1.SecretTypeOpaque, Labels: map[string]v1alpha1.LabelValue{"a": "b"},
			Annotations: map[string]v1alpha1.AnnotationValue{"a": "{{ .AccessToken }}"}},
	} {
		t.Run(name, func(t *testing.T) {
			template, err := compileTemplate(spec)
			if err != nil {
				t.Fatal(err)
			}
			for _, test := range []struct {
				values tokensecret.Values
				want   map[string]string
			}{
				{values(), map[string]string{"access_token": canary, "expires_at": "2026-11-23T14:00:00Z", "scopes": "repo user:email"}},
				{bare(), map[string]string{"access_token": canary, "scopes": ""}},
			} {
				if got := render(t, template, test.values); !maps.Equal(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
				if got, want := template.Keys(!test.values.ExpiresAt.IsZero()), slices.Sorted(maps.Keys(test.want)); !slices.Equal(got, want) {
					t.Errorf("got the keys %q, want %q", got, want)
				}
			}
		})
	}
}

func TestExpiryIsInWholeSecondsAndUTC(t *testing.T) {
	given := values()
	given.ExpiresAt = expiry.Add(999 * time.Millisecond).In(time.FixedZone("", 3600))
	const want = "2026-11-23T14:00:00Z"
	if got := render(t, compile(t, nil), given)["expires_at"]; got != want {
		t.Errorf("by default got %q, want %q", got, want)
	}
	if got := render(t, compile(t, map[string]string{"k": "{{ .ExpiresAt }}"}), given)["k"]; got != want {
		t.Errorf("from a template got %q, want %q", got, want)
	}
}

func TestTemplatesReplaceTheDefaultKeys(t *testing.T) {
	template := compile(t, map[string]string{".netrc": "machine github.com password {{ .AccessToken }}\n", "b": "{{ .Slug }}", "a": "fixed"})
	want := map[string]string{".netrc": "machine github.com password " + canary + "\n", "b": "github", "a": "fixed"}
	if got := render(t, template, values()); !maps.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, hasExpiry := range []bool{true, false} {
		if got := template.Keys(hasExpiry); !slices.Equal(got, []string{".netrc", "a", "b"}) {
			t.Errorf("got the keys %q", got)
		}
	}
}

func TestWhatTemplatesCanSay(t *testing.T) {
	const quoted = `"gho_CANARY-\"5up3r\"\u003c\u0026\u003es3cr3t"`
	for text, want := range map[string]struct{ full, bare string }{
		`{{ .AccessToken }}`:                                                {canary, canary},
		`{{ .ExpiresAt }}`:                                                  {"2026-11-23T14:00:00Z", ""},
		`{{ .Scopes }}`:                                                     {"[repo user:email]", "[]"},
		`{{ .Slug }}/{{ .UserID }}`:                                         {"github/user_alice", "github/user_alice"},
		`{{ .OrganizationID }}`:                                             {"org_acme", ""},
		`{{ b64enc .Slug }}`:                                                {"Z2l0aHVi", "Z2l0aHVi"},
		`{{ .AccessToken | b64enc }}`:                                       {base64.StdEncoding.EncodeToString([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))},
		`{{ b64enc (b64enc .Slug) }}`:                                       {"WjJsMGFIVmk=", "WjJsMGFIVmk="},
		`{{ quote .AccessToken }}`:                                          {quoted, quoted},
		`{{ toJson .AccessToken }}`:                                         {quoted, quoted},
		`{{ toJson .Scopes }}`:                                              {`["repo","user:email"]`, `[]`},
		`{{ toJson 1.5 }}{{ toJson true }}`:                                 {"1.5true", "1.5true"},
		`{{ join "," .Scopes }}`:                                            {"repo,user:email", ""},
		`{{ .Scopes | join " " | quote }}`:                                  {`"repo user:email"`, `""`},
		`{{ join .Slug .Scopes }}`:                                          {"repogithubuser:email", ""},
		`{{ urlquery "a b&c=ü" }}`:                                          {"a+b%26c%3D%C3%BC", "a+b%26c%3D%C3%BC"},
		`{{ .AccessToken | urlquery }}`:                                     {"gho_CANARY-%225up3r%22%3C%26%3Es3cr3t", "gho_CANARY-%225up3r%22%3C%26%3Es3cr3t"},
		`{{ if .OrganizationID }}org{{ else }}-{{ end }}`:                   {"org", "-"},
		`{{ if .ExpiresAt }}a{{ else if .Scopes }}b{{ else }}c{{ end }}`:    {"a", "c"},
		`{{ with .OrganizationID }}o={{ . }}{{ else }}none{{ end }}`:        {"o=org_acme", "none"},
		`{{ with .ExpiresAt }}{{ . }}{{ else with .Slug }}{{ . }}{{ end }}`: {"2026-11-23T14:00:00Z", "github"},
		`{{ $s := .Slug }}{{ $s = b64enc $s }}{{ $s }}{{ $.Slug }}`:         {"Z2l0aHVigithub", "Z2l0aHVigithub"},
		`{{/* a comment */}}a {{- " b " -}} c`:                              {"a b c", "a b c"},
		`{{ "{{" }} .AccessToken }}`:                                        {"{{ .AccessToken }}", "{{ .AccessToken }}"},
		`no actions`:                                                        {"no actions", "no actions"},
		// This defines the template itself in another way. It cannot call itself, and its
		// content is checked.
		`{{ define "k" }}x{{ end }}`: {"x", "x"},
		``:                           {"", ""},
	} {
		t.Run(text, func(t *testing.T) {
			template := compile(t, map[string]string{"k": text})
			if got := render(t, template, values())["k"]; got != want.full {
				t.Errorf("got %q, want %q", got, want.full)
			}
			if got := render(t, template, bare())["k"]; got != want.bare {
				t.Errorf("without what a token can lack got %q, want %q", got, want.bare)
			}
		})
	}
}

func TestWhatTemplatesCannotSay(t *testing.T) {
	for text, want := range map[string]string{
		`{{ range .Scopes }}{{ . }}{{ end }}`:                               `"{{range .Scopes}}{{.}}{{end}}" is not allowed`,
		`{{ range $i := 1000000000 }}x{{ end }}`:                            "is not allowed",
		`{{ if .Slug }}{{ range .Scopes }}x{{ end }}{{ end }}`:              "is not allowed",
		`{{ if .Slug }}x{{ else }}{{ range .Scopes }}x{{ end }}{{ end }}`:   "is not allowed",
		`{{ with .Slug }}{{ range $.Scopes }}x{{ end }}{{ end }}`:           "is not allowed",
		`{{ with .Slug }}x{{ else }}{{ range .Scopes }}x{{ end }}{{ end }}`: "is not allowed",
		`{{ define "x" }}{{ template "x" }}{{ end }}{{ template "x" }}`:     "define and block are not allowed",
		`{{ define "x" }}x{{ end }}`:                                        "define and block are not allowed",
		`{{ define "k" }}{{ template "k" }}{{ end }}`:                       "not allowed",
		`{{ define "k" }}{{ range .Scopes }}{{ end }}{{ end }}`:             "not allowed",
		`{{ block "x" . }}x{{ end }}`:                                       "define and block are not allowed",
		`{{ block "k" . }}x{{ end }}`:                                       "k",
		`{{ template "k" . }}`:                                              `"{{template \"k\" .}}" is not allowed`,
		`{{ template "other" }}`:                                            "is not allowed",
		`{{ break }}`:                                                       "break",
		`{{ continue }}`:                                                    "continue",
		`{{ range .Scopes }}{{ break }}{{ end }}`:                           "is not allowed",
		`{{ printf "%s" .AccessToken }}`:                                    `function "printf" is not allowed; there are b64enc, index, join, quote, toJson, urlquery`,
		`{{ printf "%1000000000d" 1 }}`:                                     `function "printf" is not allowed`,
		`{{ print .AccessToken }}`:                                          `function "print" is not allowed`,
		`{{ println .AccessToken }}`:                                        `function "println" is not allowed`,
		`{{ html .AccessToken }}`:                                           `function "html" is not allowed`,
		`{{ js .AccessToken }}`:                                             `function "js" is not allowed`,
		`{{ slice .AccessToken 0 4 }}`:                                      `function "slice" is not allowed`,
		`{{ len .AccessToken }}`:                                            `function "len" is not allowed`,
		`{{ call .AccessToken }}`:                                           `function "call" is not allowed`,
		`{{ and .Slug .UserID }}`:                                           `function "and" is not allowed`,
		`{{ or .OrganizationID "none" }}`:                                   `function "or" is not allowed`,
		`{{ not .OrganizationID }}`:                                         `function "not" is not allowed`,
		`{{ eq .Slug "github" }}`:                                           `function "eq" is not allowed`,
		`{{ if eq .Slug "github" }}x{{ end }}`:                              `function "eq" is not allowed`,
		`{{ index .Slug 0 }}`:                                               "index takes .Metadata or .Config and a name, or .Scopes and a number",
		`{{ index .Scopes "0" }}`:                                           "index takes .Metadata or .Config and a name, or .Scopes and a number",
		`{{ (index .Scopes 0).Field }}`:                                     "there is no .Field with authMethod OAuth; ",
		`{{ index .Metadata "a" }}`:                                         "there is no .Metadata with authMethod OAuth; ",
		`{{ .APIKey }}`:                                                     "there is no .APIKey with authMethod OAuth; ",
		`{{ b64enc (printf "x") }}`:                                         `function "printf" is not allowed`,
		`{{ $x := printf "x" }}`:                                            `function "printf" is not allowed`,
		`{{ .Slug | b64enc | html }}`:                                       `function "html" is not allowed`,
		`{{ env "HOME" }}`:                                                  `function "env" not defined`,
		`{{ b64dec "x" }}`:                                                  `function "b64dec" not defined`,
		`{{ .accessToken }}`:                                                "there is no .accessToken with authMethod OAuth; there are .AccessToken, .ExpiresAt, .Scopes, .Slug, .UserID, .OrganizationID",
		`{{ .Token }}`:                                                      "there is no .Token with authMethod OAuth; there are .AccessToken, ",
		`{{ $.Token }}`:                                                     "there is no .Token with authMethod OAuth; there are .AccessToken, ",
		`{{ with .Slug }}{{ $.Token }}{{ end }}`:                            "there is no .Token with authMethod OAuth; ",
		`{{ $x := . }}{{ $x.Token }}`:                                       "there is no .Token with authMethod OAuth; ",
		`{{ (.).Token }}`:                                                   "there is no .Token with authMethod OAuth; ",
		`{{ .AccessToken.Reveal }}`:                                         "there is no .AccessToken.Reveal with authMethod OAuth; ",
		`{{ $.AccessToken.Reveal }}`:                                        "there is no .AccessToken.Reveal with authMethod OAuth; ",
		`{{ .Scopes.Len }}`:                                                 "there is no .Scopes.Len with authMethod OAuth; ",
		`{{ if .OrganizationID }}x{{ else }}{{ .Nope }}{{ end }}`:           "there is no .Nope with authMethod OAuth; ",
		`{{ with .ExpiresAt }}x{{ else }}{{ .Nope }}{{ end }}`:              "there is no .Nope with authMethod OAuth; ",
		`{{ if .Scopes }}{{ .Nope }}{{ end }}`:                              "there is no .Nope with authMethod OAuth; ",
		`{{ b64enc .Scopes }}`:                                              "expected string",
		`{{ b64enc }}`:                                                      "wrong number of args",
		`{{ join "," "a" }}`:                                                "can't handle",
		`{{ toJson . | quote | b64enc .Slug }}`:                             "wrong number of args",
		`{{ nil }}`:                                                         "nil is not a command",
		`{{ .AccessToken`:                                                   "unclosed action",
		`{{ if .Slug }}x`:                                                   "unexpected EOF",
		`{{ }}`:                                                             "missing value for command",
		`{{ $undefined }}`:                                                  "undefined variable",
		`{{ 'x }}`:                                                          "unterminated character constant",
	} {
		t.Run(text, func(t *testing.T) {
			_, err := compileTemplate(specOf(map[string]string{"fine": "x", "k": text}))
			if err == nil {
				t.Fatal("compiled")
			}
			if got := err.Error(); !strings.HasPrefix(got, `secretTemplate.data["k"]: `) || !strings.Contains(got, want) {
				t.Errorf("got %q, want it to name the key, and to say %q", got, want)
			}
		})
	}
}

const maxValue = 60 << 10

func TestOutputIsBounded(t *testing.T) {
	long := values()
	long.Token = redact.NewString(canary + strings.Repeat("x", maxValue/2))
	many := values()
	for range 256 {
		many.Scopes = append(many.Scopes, strings.Repeat("s", 512))
	}
	huge := values()
	huge.Token = redact.NewString(canary + strings.Repeat("x", maxValue))
	quotes := values()
	quotes.Token = redact.NewString(strings.Repeat("<", maxValue/3+1))
	for name, test := range map[string]struct {
		text   string
		values tokensecret.Values
	}{
		"the token":                      {"{{ .AccessToken }}", huge},
		"the token twice":                {"{{ .AccessToken }}{{ .AccessToken }}", long},
		"the token in base64, and again": {"{{ .AccessToken | b64enc | b64enc | b64enc }}", long},
		"the token as JSON":              {"{{ toJson .AccessToken }}", quotes},
		"the token in quotes":            {"{{ quote .AccessToken }}", quotes},
		"the token as a query":           {"{{ urlquery .AccessToken }}", quotes},
		"all scopes":                     {"{{ .Scopes }}", many},
		"all scopes, joined":             {`{{ join "," .Scopes }}`, many},
		"all scopes, by something long":  {`{{ $s := b64enc .AccessToken }}{{ $s = join $s .Scopes }}`, many},
		"all scopes as JSON":             {"{{ toJson .Scopes }}", many},
		"what is not written in the end": {"{{ $x := b64enc (b64enc (b64enc .AccessToken)) }}short", long},
		"what is only a condition":       {"{{ if .AccessToken | b64enc | b64enc | b64enc }}short{{ end }}", long},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := compile(t, map[string]string{"k": test.text}).Render(test.values)
			if err == nil {
				t.Fatalf("rendered %d bytes", len(data["k"]))
			}
			want := `secretTemplate.data["k"] cannot be rendered with this token, or the result is longer than 61440 bytes`
			if err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
			expectNoToken(t, err.Error(), test.values.Token.Reveal())
		})
	}
}

// A template that grows without limit does that with any token. Compile finds it before a token
// exists.
func TestBombsAreRefusedBeforeThereIsAToken(t *testing.T) {
	for name, text := range map[string]string{
		"base64 of base64 ...": "{{ .AccessToken" + strings.Repeat("|b64enc", 1000) + "}}",
		"nested":               "{{ " + strings.Repeat("b64enc (", 900) + ".Slug" + strings.Repeat(")", 900) + "}}",
		"JSON of JSON ...":     "{{ .AccessToken" + strings.Repeat("|toJson", 1000) + "}}",
		"quotes of quotes":     "{{ .AccessToken" + strings.Repeat("|quote", 1000) + "}}",
		"queries of queries":   `{{ "%"` + strings.Repeat("|urlquery", 900) + "}}{{ $x := .Slug }}" + strings.Repeat("{{$x = toJson $x}}", 20),
		"by assignment":        "{{ $x := .Slug }}" + strings.Repeat("{{$x = b64enc $x}}", 400),
		"by a constant":        "{{ $x := `" + strings.Repeat(`"`, 4000) + "` }}{{ $x | quote | quote | quote | quote }}",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := compileTemplate(specOf(map[string]string{"k": text}))
			if err == nil || !strings.Contains(err.Error(), "the result is longer than 61440 bytes") && !strings.Contains(err.Error(), tooMuch) {
				t.Errorf("got %v", err)
			}
		})
	}
}

const tooMuch = "its functions return more than 245760 bytes in all"

// No single value is too long. But the functions return many bytes in total, in every
// reconcile.
func TestMuchWorkForLittleOutputIsRefused(t *testing.T) {
	large := "{{ $x := b64enc .AccessToken" + strings.Repeat(" | b64enc", 27) + " }}" // about 20 KB
	for name, work := range map[string]string{"encoding": "{{$y:=b64enc $x}}", "quoting": "{{$y:=$x|quote}}", "queries": "{{$y:=$x|urlquery}}"} {
		t.Run(name, func(t *testing.T) {
			if _, err := compileTemplate(specOf(map[string]string{"k": large + strings.Repeat(work, 2) + "short"})); err != nil {
				t.Errorf("a little of it: got %v", err)
			}
			_, err := compileTemplate(specOf(map[string]string{"k": large + strings.Repeat(work, 100) + "short"}))
			if err == nil || !strings.Contains(err.Error(), tooMuch) {
				t.Errorf("much of it: got %v", err)
			}
		})
	}
}

func TestOutputAtTheBoundIsFine(t *testing.T) {
	exact := values()
	exact.Token = redact.NewString(strings.Repeat("x", maxValue))
	for _, text := range []string{"{{ .AccessToken }}", "{{ $x := .AccessToken }}{{ $x }}"} {
		if got := render(t, compile(t, map[string]string{"k": text}), exact)["k"]; len(got) != maxValue {
			t.Errorf("%s: got %d bytes, want %d", text, len(got), maxValue)
		}
	}
	exact.Token = redact.NewString(strings.Repeat("x", maxValue/4*3))
	if got := render(t, compile(t, map[string]string{"k": "{{ b64enc .AccessToken }}"}), exact)["k"]; len(got) != maxValue {
		t.Errorf("in base64: got %d bytes, want %d", len(got), maxValue)
	}
}

// Whatever a template does with the token, an error contains no part of it. Errors become
// conditions, and more people can read conditions than Secrets.
func TestErrorsNeverContainTheToken(t *testing.T) {
	long := values()
	long.Token = redact.NewString(canary + strings.Repeat("x", maxValue))
	for _, text := range []string{
		"{{ .AccessToken }}", "{{ b64enc .AccessToken }}", "{{ quote .AccessToken }}", "{{ toJson . }}", "{{ urlquery .AccessToken }}",
		"{{ join .AccessToken .Scopes }}", "{{ $x := .AccessToken }}{{ b64enc $x }}", "{{ with .AccessToken }}{{ b64enc . }}{{ end }}",
		"{{ . }}",
	} {
		_, err := compile(t, map[string]string{"k": text}).Render(long)
		if err == nil {
			t.Errorf("%s: rendered", text)
			continue
		}
		for cause := err; cause != nil; cause = errors.Unwrap(cause) {
			expectNoToken(t, fmt.Sprintf("%s %+v %#v", cause.Error(), cause, cause), canary)
		}
	}
}

func expectNoToken(t *testing.T, text, token string) {
	t.Helper()
	part := token[:min(len(token), 12)]
	for _, form := range []string{part, base64.StdEncoding.EncodeToString([]byte(part))} {
		if strings.Contains(text, form) {
			t.Errorf("the token is in %q", text)
		}
	}
}

func TestTemplatesWithOneHashMakeTheSameData(t *testing.T) {
	hashes := map[string]string{}
	for name, data := range map[string]map[string]string{
		"none":                       nil,
		"one key":                    {"a": "x"},
		"another key":                {"b": "x"},
		"another text":               {"a": "y"},
		"two keys":                   {"a": "x", "b": "y"},
		"two keys, texts swapped":    {"a": "y", "b": "x"},
		"two keys, cut elsewhere":    {"a": "xb", "y": "x"},
		"one key, all of it":         {"a": "xby"},
		"a text that looks like two": {"a": "x1:b1:y"},
		"white space":                {"a": "x "},
		"the default keys, by hand":  {"access_token": "{{ .AccessToken }}", "scopes": `{{ join " " .Scopes }}`},
		"an empty text":              {"a": ""},
		"the name of the default":    {"default": "default"},
		"named data":                 {"data": "data"},
	} {
		hash := compile(t, data).Hash()
		if len(hash) != 32 || strings.Trim(hash, "0123456789abcdef") != "" {
			t.Errorf("%s: the hash %q is not 16 bytes in hex", name, hash)
		}
		if other, taken := hashes[hash]; taken {
			t.Errorf("%q and %q have the same hash", name, other)
		}
		hashes[hash] = name
		for range 10 { // the order of map keys is random
			if again := compile(t, data).Hash(); again != hash {
				t.Fatalf("%s: the hash changed from %s to %s", name, hash, again)
			}
		}
	}
}

// The hash is an annotation of the Secret. If a version of the operator changed the hash, an
// upgrade would fetch every token again.
func TestHashesStayTheSameAcrossVersions(t *testing.T) {
	for want, data := range map[string]map[string]string{
		"3214a48d5aff0165d959e40417ceb4a0": nil,
		"d35d1c8d5e03d3d7a4c018e22b87dfbd": {"token": "{{ .AccessToken }}", "user": "{{ .UserID }}"},
	} {
		if got := compile(t, data).Hash(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got, want := tokensecret.HashToken("uid", redact.NewString("token")), "be88d853338f1010204454ee626e52ad"; got != want {
		t.Errorf("of the token: got %s, want %s", got, want)
	}
}

// Only the data counts. A change of the rest of the template is not worth a call to WorkOS.
func TestHashDependsOnTheDataAlone(t *testing.T) {
	plain, full := specOf(map[string]string{"password": "x"}), specOf(map[string]string{"password": "x"})
	full.Labels = map[string]v1alpha1.LabelValue{"a": "b"}
	full.Annotations = map[string]v1alpha1.AnnotationValue{"a": "b"}
	a, errA := compileTemplate(plain)
	b, errB := compileTemplate(full)
	if errA != nil || errB != nil || a.Hash() != b.Hash() {
		t.Errorf("got %s and %s, want the same (%v, %v)", a.Hash(), b.Hash(), errA, errB)
	}
}

func TestRenderChangesNothingItIsGiven(t *testing.T) {
	given := values()
	template := compile(t, map[string]string{"k": "{{ .Scopes }}"})
	first := render(t, template, given)
	if second := render(t, template, given); !maps.Equal(first, second) || !slices.Equal(given.Scopes, values().Scopes) {
		t.Errorf("got %q, then %q with %q", first, second, given.Scopes)
	}
}
