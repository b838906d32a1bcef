package tokensecret_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/tokensecret"
)

// shop returns the credential of a shop, with metadata and config.
func shop() tokensecret.Values {
	values := values()
	values.Metadata = redact.NewString(`{"instance_url":"https://shop.example.com","numbers":[1,2],"nothing":null}`)
	values.Config = redact.NewString(`{"region":"eu"}`)
	return values
}

func TestTemplatesByMethod(t *testing.T) {
	const oauth, key, client = v1alpha1.AuthMethodOAuth, v1alpha1.AuthMethodAPIKey, v1alpha1.AuthMethodClientCredentials
	for _, test := range []struct {
		method   v1alpha1.AuthMethod
		template string
		values   tokensecret.Values
		want     string
	}{
		{key, `{{ .APIKey }}`, shop(), canary},
		{key, `{{ index .Config "region" }}`, shop(), "eu"},
		{client, `{{ .AccessToken }} until {{ .ExpiresAt }}`, shop(), canary + " until 2026-11-23T14:00:00Z"},
		{client, `{{ index .Metadata "instance_url" | urlquery }}`, shop(), "https%3A%2F%2Fshop.example.com"},
		{client, `{{ index .Metadata "numbers" }}`, shop(), "[1,2]"},
		{client, `<{{ index .Metadata "nothing" }}{{ index .Metadata "absent" }}>`, shop(), "<>"},
		{client, `{{ if index .Metadata "absent" }}yes{{ else }}no{{ end }}`, shop(), "no"},
		{client, `{{ toJson .Config }}{{ .Config }}`, shop(), `{"region":"eu"}{"region":"eu"}`},
		{client, `{{ toJson .Metadata }}`, bare(), `{}`},
		{client, `<{{ index .Metadata "instance_url" }}>`, bare(), "<>"},
		{oauth, `{{ index .Scopes 1 }}<{{ index .Scopes 2 }}>`, shop(), "user:email<>"},
	} {
		t.Run(string(test.method)+" "+test.template, func(t *testing.T) {
			template, err := tokensecret.Compile(v1alpha1.PipesTokenSpec{
				AuthMethod: test.method, SecretTemplate: specOf(map[string]string{"k": test.template}),
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := render(t, template, test.values)["k"]; got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestTemplatesCannotUseWhatTheMethodLacks(t *testing.T) {
	for _, test := range []struct {
		method         v1alpha1.AuthMethod
		template, says string
	}{
		{v1alpha1.AuthMethodAPIKey, `{{ .AccessToken }}`,
			"there is no .AccessToken with authMethod APIKey; there are .APIKey, .Slug, .UserID, .OrganizationID, .Metadata, .Config"},
		{v1alpha1.AuthMethodAPIKey, `{{ .ExpiresAt }}`, "there is no .ExpiresAt with authMethod APIKey; "},
		{v1alpha1.AuthMethodClientCredentials, `{{ .APIKey }}`, "there is no .APIKey with authMethod ClientCredentials; "},
		{v1alpha1.AuthMethodClientCredentials, `{{ .Metadata.instance_url }}`, `there is no .Metadata.instance_url; write index .Metadata "instance_url"`},
		{v1alpha1.AuthMethodClientCredentials, `{{ $.Config.region }}`, `there is no .Config.region; write index .Config "region"`},
		{"", `{{ .Config }}`, "there is no .Config with authMethod OAuth; "},
	} {
		_, err := tokensecret.Compile(v1alpha1.PipesTokenSpec{
			AuthMethod: test.method, SecretTemplate: specOf(map[string]string{"k": test.template}),
		})
		if err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s %s: got %v, want %s", test.method, test.template, err, test.says)
		}
	}
}

func TestDefaultKeysByMethod(t *testing.T) {
	for method, want := range map[v1alpha1.AuthMethod]map[string]string{
		v1alpha1.AuthMethodOAuth:             nil,
		v1alpha1.AuthMethodClientCredentials: nil,
		v1alpha1.AuthMethodAPIKey:            {"api_key": canary},
	} {
		template, err := tokensecret.Compile(v1alpha1.PipesTokenSpec{AuthMethod: method})
		if err != nil {
			t.Fatal(err)
		}
		if method != v1alpha1.AuthMethodAPIKey {
			want = map[string]string{"access_token": canary, "expires_at": "2026-11-23T14:00:00Z", "scopes": "repo user:email"}
		}
		if got := render(t, template, shop()); !maps.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", method, got, want)
		}
	}
}

// A change of the metadata alone is a change of the token: the template may have put it into the
// Secret.
func TestTokensDifferByTheirProperties(t *testing.T) {
	none := tokensecret.HashProperties("uid", redact.String{}, redact.String{})
	a := tokensecret.HashProperties("uid", redact.NewString(`{"a":"1"}`), redact.String{})
	b := tokensecret.HashProperties("uid", redact.String{}, redact.NewString(`{"a":"1"}`))
	if none != "" || a == b || a == "" || b == "" {
		t.Errorf("got %q, %q and %q", none, a, b)
	}
	if (tokensecret.Facts{PropertiesHash: a}).SameToken(tokensecret.Facts{PropertiesHash: b}) {
		t.Error("tokens with other properties count as the same")
	}
}
