package workos

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxProperties bounds the metadata and the config of a credential, in bytes of JSON each.
// Templates put them into the Secret.
const maxProperties = 16 << 10

// methodOfWorkOS is WorkOS's name of MethodOAuth.
const methodOfWorkOS = "oauth"

// specNames are the values of spec.authMethod, by WorkOS's auth_method.
var specNames = map[string]string{
	methodOfWorkOS: "OAuth", string(MethodAPIKey): "APIKey", string(MethodClientCredentials): "ClientCredentials",
}

// decodeCredential reads the credential of an active connection. WorkOS may add methods, so the
// method of the answer decides whether this is the credential that was asked for.
func decodeCredential(answer members, key redact.String, method Method) Answer {
	if !answer.has("credential") {
		return unreadable("the connection is active, but the answer holds no credential")
	}
	object, err := readMembers(answer["credential"])
	if err != nil {
		return unreadable(`the answer's "credential" is not an object`)
	}
	actual, ok := object.text("auth_method")
	switch {
	case !ok || actual == "":
		return unreadable(`the answer's "credential.auth_method" is missing, or not a string`)
	case actual != string(method):
		return Answer{Outcome: OutcomeAuthMethodMismatch, Message: mismatchMessage(actual, key)}
	}
	token, problem := readToken(object, "credential", "value", key)
	if problem == "" {
		token.Metadata, problem = readProperties(object, "metadata", isObject)
	}
	if problem == "" {
		token.Config, problem = readProperties(object, "config", isObjectOfTexts)
	}
	if problem != "" {
		return unreadable(problem)
	}
	return Answer{Outcome: OutcomeToken, Token: token}
}

// mismatchMessage names the method of an account, and the value of spec.authMethod for it.
func mismatchMessage(actual string, key redact.String) string {
	if name, known := specNames[actual]; known {
		return fmt.Sprintf("the account needs authMethod %s", name)
	}
	return quoted("the account uses the method "+actual+", which this version does not know", key, maxMessage)
}

// readProperties returns an object of a credential as JSON, or a description of the problem. An
// absent object is the zero String, which differs from an empty object.
func readProperties(
	credential members, name string, fits func(json.RawMessage) bool,
) (properties redact.String, problem string) {
	if !credential.has(name) {
		return redact.String{}, ""
	}
	raw := credential[name]
	switch {
	case !fits(raw):
		return redact.String{}, fmt.Sprintf(`the answer's "credential.%s" has the wrong form`, name)
	case len(raw) > maxProperties:
		return redact.String{}, fmt.Sprintf(`the answer's "credential.%s" is longer than 16 KiB`, name)
	}
	return redact.NewString(canonical(raw)), ""
}

func isObject(raw json.RawMessage) bool {
	_, err := readMembers(raw)
	return err == nil
}

func isObjectOfTexts(raw json.RawMessage) bool {
	var texts map[string]*string
	if err := json.Unmarshal(raw, &texts); err != nil || texts == nil {
		return false
	}
	for _, value := range texts {
		if value == nil {
			return false
		}
	}
	return true
}

// canonical returns the same text for the same object: without spaces, and in the order of the
// names. A change of the order alone must not rewrite the Secret. Numbers keep their text.
func canonical(raw json.RawMessage) string {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return string(raw)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return string(raw)
	}
	return string(text)
}
