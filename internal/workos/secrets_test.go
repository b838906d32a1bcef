package workos_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"k8s.io/utils/dump"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// everyPrint prints a value in all the ways that can end in a log, a status, an event or a crash.
func everyPrint(t *testing.T, value any) string {
	t.Helper()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%p", "%T"} {
		fmt.Fprintf(&out, verb+"\n", value)
		fmt.Fprintf(&out, verb+"\n", []any{value})
	}
	if err := json.NewEncoder(&out).Encode(value); err != nil {
		t.Fatal(err)
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("a", "value", value)
	slog.New(slog.NewTextHandler(&out, nil)).Info("a", "value", value)
	funcr.New(func(_, args string) { out.WriteString(args) }, funcr.Options{}).Info("a", "value", value)
	funcr.NewJSON(func(line string) { out.WriteString(line) }, funcr.Options{}).Info("a", "value", value)
	func() {
		defer func() { fmt.Fprint(&out, recover()) }()
		panic(value)
	}()
	if err, ok := value.(error); ok {
		for ; err != nil; err = errors.Unwrap(err) {
			fmt.Fprintf(&out, "%v %+v %#v\n", err, err, err)
		}
	}
	return out.String()
}

func mustNotShow(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{testKey, testToken} {
		for _, form := range []string{secret, fmt.Sprintf("%x", secret)} {
			if at := strings.Index(text, form); at >= 0 {
				t.Errorf("%s shows a secret: ...%s", what, text[max(0, at-200):at+len(form)])
			}
		}
	}
}

// echo answers with the key in every place where a careless upstream could put it.
func echo(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Request-ID", r.Header.Get("Authorization"))
		w.Header().Set("Retry-After", testKey)
		w.Header().Set("Location", "https://"+testKey+"@example.com/"+testKey)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestNothingThatPrintsShowsKeyOrToken(t *testing.T) {
	long := strings.Repeat("a", 240)
	bodies := map[int][]string{
		200: {
			goodBody, goodBody[:60], `{"active":false,"error":"` + testKey + `"}`, `{"active":true,"access_token":"` + testToken + `"}`,
			tokenBody("scopes", `["`+testKey+`"]`), tokenBody("expires_at", `"`+testToken+`"`), tokenBody("access_token", `"`+testToken+` "`),
		},
		401: {"", `{"message":"no such key: ` + testKey + `"}`, `{"message":"` + long + testKey + `"}`},
		404: {`{"message":"\u0073` + testKey[1:] + `"}`, `{"message":"` + testKey + testKey + `"}`, goodBody},
		429: {`{"message":"Bearer ` + testKey + `"}`},
		302: {`<a href="https://example.com/` + testKey + `">`},
		500: {`<pre>Authorization: Bearer ` + testKey + `</pre>`, `{"message":"` + testKey + `"}`},
	}
	for status, bodies := range bodies {
		for _, body := range bodies {
			server := serve(t, echo(status, body))
			u := workos.New(workos.Options{})
			client := connect(t, u, "a/a", server.URL, testKey, 6000)
			for range 2 { // the second answer may come from a closed gate
				answer := ask(t, client, alice)
				what := fmt.Sprintf("%d %.20s", status, body)
				for _, value := range []any{
					answer, &answer, answer.Token, struct{ hidden workos.Answer }{answer}, client, *client, u, alice,
				} {
					text := everyPrint(t, value)
					mustNotShow(t, fmt.Sprintf("%s: %T", what, value), text)
					if strings.Contains(text, testKey[:12]) {
						t.Errorf("%s: %T shows the beginning of the key", what, value)
					}
				}
				mustNotShow(t, what+", dumped", dump.Pretty(answer))
			}
		}
	}
}

func TestErrorsShowNoKey(t *testing.T) {
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/data-integrations/panic/token" {
			panic(fmt.Sprint(r.Header))
		}
		return nil, fmt.Errorf("cannot send %v to %v", r.Header, r.URL)
	})
	client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
	answer := ask(t, client, alice)
	mustNotShow(t, "a failure", everyPrint(t, answer))
	if answer.Message != "connection failed" {
		t.Errorf("got %q", answer.Message)
	}
	for _, slug := range []string{"panic", testKey + "/.."} {
		_, err := client.Token(t.Context(), workos.Request{Slug: slug, UserID: "user_alice"}, workos.Turn{})
		if err == nil {
			t.Fatal("no error")
		}
		mustNotShow(t, "an error", everyPrint(t, err))
	}
	_, err := workos.New(workos.Options{}).Connect("a/a", "https://a:"+testKey+"@b", redact.NewString(testKey+"\n"), 1)
	mustNotShow(t, "an error", everyPrint(t, err))
}
