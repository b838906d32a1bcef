package workos_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

func TestRequestIsWhatWorkOSDocuments(t *testing.T) {
	noOrganization := workos.Request{Slug: "google_drive-2", UserID: "user_bob"}
	for name, test := range map[string]struct {
		prefix     string
		request    workos.Request
		path, body string
	}{
		"with organization":    {"", alice, "/data-integrations/github/token", `{"user_id":"user_alice","organization_id":"org_acme"}`},
		"without organization": {"", noOrganization, "/data-integrations/google_drive-2/token", `{"user_id":"user_bob"}`},
		"trailing slash":       {"/", noOrganization, "/data-integrations/google_drive-2/token", `{"user_id":"user_bob"}`},
		"path prefix":          {"/a%2Fb/c", noOrganization, "/a%2Fb/c/data-integrations/google_drive-2/token", `{"user_id":"user_bob"}`},
		"prefix and slash":     {"/a/", noOrganization, "/a/data-integrations/google_drive-2/token", `{"user_id":"user_bob"}`},
	} {
		t.Run(name, func(t *testing.T) {
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				for what, pair := range map[string][2]string{
					"method":          {r.Method, http.MethodPost},
					"path":            {r.URL.EscapedPath(), test.path},
					"query":           {r.URL.RawQuery, ""},
					"body":            {string(body), test.body},
					"Authorization":   {r.Header.Get("Authorization"), "Bearer " + testKey},
					"Content-Type":    {r.Header.Get("Content-Type"), "application/json"},
					"Accept":          {r.Header.Get("Accept"), "application/json"},
					"Accept-Encoding": {r.Header.Get("Accept-Encoding"), "identity"},
					"User-Agent":      {r.Header.Get("User-Agent"), "pipes-operator/v1.2.3"},
				} {
					if pair[0] != pair[1] {
						t.Errorf("%s: got %q, want %q", what, pair[0], pair[1])
					}
				}
				_, _ = io.WriteString(w, goodBody)
			})
			client := connectOnly(t, workos.Options{UserAgent: "pipes-operator/v1.2.3"}, server.URL+test.prefix)
			expect(t, ask(t, client, test.request), workos.OutcomeToken, true, 0)
		})
	}
}

func TestRequestThatNamesNoConnectionIsAnErrorAndNotSent(t *testing.T) {
	transport := roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("a request was sent")
		return respond(http.StatusOK, goodBody), nil
	})
	client := connectOnly(t, workos.Options{Transport: transport}, baseURL)
	for _, request := range []workos.Request{
		{},
		{UserID: "user_alice"},
		{Slug: "..", UserID: "user_alice"},
		{Slug: ".", UserID: "user_alice"},
		{Slug: "-github", UserID: "user_alice"},
		{Slug: "git/hub", UserID: "user_alice"},
		{Slug: "git%2fhub", UserID: "user_alice"},
		{Slug: "github\n", UserID: "user_alice"},
		{Slug: "gïthub", UserID: "user_alice"},
		{Slug: "github"},
		{Slug: "github", UserID: "user_\xff"},
		{Slug: "github", UserID: "user_alice", OrganizationID: "\xff"},
	} {
		if answer, err := client.Token(t.Context(), request, workos.Turn{}); err == nil {
			t.Errorf("%+v: got %+v and no error", request, answer)
		}
	}
}
