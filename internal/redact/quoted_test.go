package redact_test

import (
	"encoding/base64"
	"net/url"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

const token = "gho_16C7e42F292c6912E7710c838347Ae178B4a"

func TestHoldsFindsASecretHoweverItIsWritten(t *testing.T) {
	for name, text := range map[string]string{
		"as it is":        "denied the request: I saw " + token,
		"a part":          "it begins with " + token[:16] + "…",
		"JSON":            `{"token":"` + token + `"}`,
		"a URL":           "https://example.com/?t=" + url.QueryEscape(token),
		"base64":          base64.StdEncoding.EncodeToString([]byte(token)),
		"base64 for URLs": base64.RawURLEncoding.EncodeToString([]byte("x:" + token)),
		"inside base64":   base64.StdEncoding.EncodeToString([]byte(`{"auth":"` + token + `"}`)),
	} {
		t.Run(name, func(t *testing.T) {
			if !redact.Holds(text, redact.NewString(token)) {
				t.Errorf("not found in %q", text)
			}
		})
	}
}

func TestHoldsLetsOrdinaryWordsPass(t *testing.T) {
	for _, text := range []string{
		"", `secrets "github-alice" is forbidden: exceeded quota: none, requested: secrets=1`,
		`failed calling webhook "policy.example.com": connection refused`, token[:15],
	} {
		if redact.Holds(text, redact.NewString(token)) || redact.Holds(text, redact.String{}) {
			t.Errorf("found in %q", text)
		}
	}
}

func TestHoldsLooksForAShortSecretAsAWhole(t *testing.T) {
	if !redact.Holds("I saw s3cret", redact.NewString("s3cret")) || redact.Holds("I saw s3cre", redact.NewString("s3cret")) {
		t.Error("a short secret is found by a part of it, or not at all")
	}
}

func TestAnyWordTakesTextApart(t *testing.T) {
	for _, text := range []string{
		`it is "` + token + `".`, "token=" + token + ", and more", "{" + token + "}", "Bearer:" + token, token + ".",
		base64.StdEncoding.EncodeToString([]byte(token)),
	} {
		if !redact.AnyWord(text, func(word string) bool { return word == token }) {
			t.Errorf("not found in %q", text)
		}
	}
	if redact.AnyWord("nothing to see", func(word string) bool { return word == token }) {
		t.Error("found where it is not")
	}
}
