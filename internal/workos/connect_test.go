package workos_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/redact"
	"github.com/pipes-operator/pipes-operator/internal/workos"
)

func TestConnectRefusesWhatCannotBeUsedWithoutQuotingIt(t *testing.T) {
	for name, test := range map[string]struct {
		url, key string
		limit    int
		want     string
	}{
		"no URL":               {"", testKey, 1, "base URL"},
		"no scheme":            {"api.workos.com", testKey, 1, "base URL"},
		"other scheme":         {"ftp://api.workos.com", testKey, 1, "base URL"},
		"no host":              {"https:///path", testKey, 1, "base URL"},
		"letters not of ASCII": {"https://api.worko%C5%BF.com", testKey, 1, "base URL"},
		"only a port":          {"https://:443", testKey, 1, "base URL"},
		"opaque":               {"https:api.workos.com", testKey, 1, "base URL"},
		"control characters":   {"https://api.workos.com/\n", testKey, 1, "base URL"},
		"bad port":             {"https://user:" + testKey, testKey, 1, "base URL"},
		"user":                 {"https://user:" + testKey + "@api.workos.com", testKey, 1, "base URL"},
		"broken user":          {"https://user:" + testKey + "%zz@api.workos.com", testKey, 1, "base URL"},
		"query":                {"https://api.workos.com?key=" + testKey, testKey, 1, "base URL"},
		"empty query":          {"https://api.workos.com?", testKey, 1, "base URL"},
		"fragment":             {"https://api.workos.com#" + testKey, testKey, 1, "base URL"},
		"empty key":            {baseURL, "", 1, "API key"},
		"key with newline":     {baseURL, testKey + "\n", 1, "API key"},
		"key with space":       {baseURL, testKey + " " + testKey, 1, "API key"},
		"key with NUL":         {baseURL, testKey + "\x00", 1, "API key"},
		"key not ASCII":        {baseURL, testKey + "ä", 1, "API key"},
		"key not UTF-8":        {baseURL, testKey + "\xff", 1, "API key"},
		"no requests":          {baseURL, testKey, 0, "requests per minute"},
		"less than none":       {baseURL, testKey, -1, "requests per minute"},
		"user of another kind": {"https://" + testKey + "@api.workos.com", testKey, 1, "base URL"},
	} {
		t.Run(name, func(t *testing.T) {
			u := workos.New(workos.Options{})
			client, err := u.Connect("a/a", test.url, redact.NewString(test.key), test.limit)
			if err == nil || client != nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, %v", client, err)
			}
			if strings.Contains(err.Error(), testKey) {
				t.Errorf("the error quotes a secret: %v", err)
			}
		})
	}
}

func TestConnectThatFailsChangesNothing(t *testing.T) {
	r, u := recording()
	client := connect(t, u, "a/a", baseURL, testKey, 60)
	if _, err := u.Connect("a/a", baseURL, redact.NewString(""), 6000); err == nil {
		t.Fatal("no error")
	}
	contend(t, client, r.clock, 50, epoch.Add(2*time.Minute), onTime)
	r.noMinuteAbove(t, 60)
}

func TestDisconnectOfAStrangerIsNothing(t *testing.T) {
	_, u := recording()
	u.Disconnect("a/a")
	client := connect(t, u, "a/a", baseURL, testKey, 1)
	u.Disconnect("b/b")
	expect(t, ask(t, client, alice), workos.OutcomeToken, true, 0)
}

func TestOwnersComeAndGoWhileOthersAsk(t *testing.T) {
	u := workos.New(workos.Options{Transport: always(http.StatusOK, goodBody)})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 200 {
			client, err := u.Connect("b/b", baseURL, redact.NewString(testKey), 1000+n)
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = client.Token(t.Context(), user(n), workos.Turn{})
			u.Disconnect("b/b")
		}
	}()
	for n := range 200 {
		ask(t, connect(t, u, "a/a", baseURL, testKey, 1000), user(n))
	}
	<-done
}
