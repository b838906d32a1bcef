package connection

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"unicode"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
	"github.com/pipes-operator/pipes-operator/internal/conditions"
	"github.com/pipes-operator/pipes-operator/internal/finding"
)

// refuse returns why an API key must not be sent to a base URL; the zero finding if it may be
// sent.
func (r *Registry) refuse(baseURL string) finding.Finding {
	parsed, err := url.Parse(baseURL)
	switch {
	case err != nil || parsed.Host == "" || parsed.User != nil || parsed.RawQuery != "" || parsed.Fragment != "":
		return finding.New(v1alpha1.UpstreamNotAllowedReason,
			"spec.baseURL is not a URL such as https://api.workos.com, without user, query or fragment: fix it")
	case parsed.Scheme != "https" && (parsed.Scheme != "http" || !r.AllowInsecure):
		return finding.New(v1alpha1.UpstreamNotAllowedReason,
			"spec.baseURL must begin with https://, so that the API key does not cross the network in the clear "+
				"(for development there is --allow-insecure-upstream)")
	case !r.hostAllowed(parsed):
		return finding.New(v1alpha1.UpstreamNotAllowedReason, conditions.Printable(fmt.Sprintf(
			"The operator may not send API keys to host %q: "+
				"its administrator can add the host to --allowed-upstream-hosts", parsed.Host)))
	default:
		return finding.Finding{}
	}
}

// hostAllowed reports whether API keys may be sent to the host. It compares hosts as DNS does,
// which ignores the case of ASCII letters only: for strings.EqualFold, ſ equals s. Therefore it
// refuses hosts that are not ASCII.
func (r *Registry) hostAllowed(parsed *url.URL) bool {
	if strings.ContainsFunc(parsed.Host, func(r rune) bool { return r > unicode.MaxASCII }) {
		return false
	}
	ownPort := parsed.Port() == "" || parsed.Port() == map[string]string{"https": "443", "http": "80"}[parsed.Scheme]
	return slices.ContainsFunc(r.AllowedHosts, func(allowed string) bool {
		return strings.EqualFold(allowed, parsed.Host) || ownPort && strings.EqualFold(allowed, parsed.Hostname())
	})
}
