package workos_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/pipes-operator/pipes-operator/internal/workos"
)

// proxied asks at target through a proxy.
func proxied(t *testing.T, target *httptest.Server, proxyURL string) workos.Answer {
	t.Helper()
	address, err := url.Parse(proxyURL)
	if err != nil {
		t.Fatal(err)
	}
	transport := trusting(target)
	transport.Proxy = http.ProxyURL(address)
	return ask(t, connectOnly(t, workos.Options{Transport: transport}, target.URL), alice)
}

func TestProxyThatRefusesIsNamedWithItsStatus(t *testing.T) {
	target, _ := counted(t, true, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, goodBody) })
	for status, want := range map[int]string{
		http.StatusProxyAuthRequired: "the proxy refuses the connection: HTTP 407 Proxy Authentication Required",
		http.StatusForbidden:         "the proxy refuses the connection: HTTP 403 Forbidden",
		http.StatusBadGateway:        "the proxy refuses the connection: HTTP 502 Bad Gateway",
		http.StatusFound:             "the proxy refuses the connection: HTTP 302 Found",
		http.StatusNoContent:         "the proxy refuses the connection: HTTP 204 No Content",
	} {
		proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodConnect {
				t.Errorf("got %s", r.Method)
			}
			w.Header().Set("Proxy-Authenticate", "Basic realm=\"10.0.0.7\"")
			w.WriteHeader(status)
		})
		answer := proxied(t, target, proxy.URL)
		expect(t, answer, workos.OutcomeUnavailable, true, 0)
		if answer.Message != want {
			t.Errorf("%d: got %q, want %q", status, answer.Message, want)
		}
	}
}

func TestWordsOfAProxyAreNotQuoted(t *testing.T) {
	target, _ := counted(t, true, func(http.ResponseWriter, *http.Request) {})
	proxy := serve(t, hijack(t, func(c *net.TCPConn) {
		_, _ = io.WriteString(c, "HTTP/1.1 407 Ask 10.0.0.7 with "+testKey+"\r\n\r\n")
	}))
	answer := proxied(t, target, proxy.URL)
	if want := "the proxy refuses the connection: HTTP 407 Proxy Authentication Required"; answer.Message != want {
		t.Errorf("got %q, want %q", answer.Message, want)
	}
}

func TestProxyThatCannotBeReachedIsNamed(t *testing.T) {
	target, _ := counted(t, true, func(http.ResponseWriter, *http.Request) {})
	proxy := serve(t, nil)
	proxy.Close()
	answer := proxied(t, target, proxy.URL)
	expect(t, answer, workos.OutcomeUnavailable, true, 0)
	if want := "the proxy cannot be reached: connection refused"; answer.Message != want {
		t.Errorf("got %q, want %q", answer.Message, want)
	}
}

func TestProxyThatConnectsIsNoTrouble(t *testing.T) {
	target, _ := counted(t, true, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, goodBody) })
	var dialer net.Dialer
	proxy := serve(t, func(w http.ResponseWriter, r *http.Request) {
		there, err := dialer.DialContext(r.Context(), "tcp", target.Listener.Addr().String())
		if err != nil {
			t.Error(err)
			return
		}
		here, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() { _, _ = io.Copy(there, here); _ = there.Close() }()
		_, _ = io.Copy(here, there)
		_ = here.Close()
	})
	expect(t, proxied(t, target, proxy.URL), workos.OutcomeToken, true, 0)
}
