package workos

import (
	"net/http"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

type roundTripper func() *http.Response

func (f roundTripper) RoundTrip(*http.Request) (*http.Response, error) { return f(), nil }

func TestStateOfAKeyIsDroppedOnceItHasNothingToRemember(t *testing.T) {
	clock := clocktesting.NewFakePassiveClock(time.Unix(1e9, 0))
	status := http.StatusOK
	u := New(Options{Clock: clock, Transport: roundTripper(func() *http.Response {
		return &http.Response{StatusCode: status, Header: http.Header{}, Body: http.NoBody}
	})})
	key := redact.NewString("sk")
	use := func() {
		client, err := u.Connect("a/a", "https://api.workos.com", key, 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Token(t.Context(), Request{Slug: "github", UserID: "user"}, Turn{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, status = range []int{http.StatusOK, http.StatusUnauthorized, http.StatusTooManyRequests} {
		use()
		u.Disconnect("a/a")
		if len(u.keys) != 1 || len(u.owners) != 0 {
			t.Errorf("%d: %d keys, %d owners right after", status, len(u.keys), len(u.owners))
		}
		clock.SetTime(clock.Now().Add(time.Minute + 1))
		u.Disconnect("nobody")
		if len(u.keys) != 0 {
			t.Errorf("%d: the key is not dropped", status)
		}
	}
}
