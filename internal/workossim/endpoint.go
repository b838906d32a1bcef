package workossim

import (
	"net/http"
	"net/url"
	"strings"
)

// Endpoint is one of the endpoints of WorkOS that the simulator has.
type Endpoint string

const (
	// EndpointToken is POST /data-integrations/{slug}/token.
	EndpointToken Endpoint = "token"
	// EndpointCredentials is POST /data-integrations/{slug}/credentials.
	EndpointCredentials Endpoint = "credentials"
	// EndpointAuthorize is POST /data-integrations/{slug}/authorize.
	EndpointAuthorize Endpoint = "authorize"
	// EndpointEvents is GET /events.
	EndpointEvents Endpoint = "events"
	// EndpointConnectedAccounts is GET /user_management/users/{user}/connected_accounts/{slug}.
	EndpointConnectedAccounts Endpoint = "connected_accounts"
	// EndpointDataProviders is GET /user_management/users/{user}/data_providers.
	EndpointDataProviders Endpoint = "data_providers"
	// AnyEndpoint is every endpoint, in a Fault only.
	AnyEndpoint Endpoint = "any"
)

// method returns the only method of the endpoint.
func (e Endpoint) method() string {
	switch e {
	case EndpointEvents, EndpointConnectedAccounts, EndpointDataProviders:
		return http.MethodGet
	default:
		return http.MethodPost
	}
}

// vends reports whether answers of the endpoint contain tokens.
func (e Endpoint) vends() bool {
	return e == EndpointToken || e == EndpointCredentials
}

// route is an endpoint with the parameters of its path.
type route struct {
	endpoint   Endpoint
	slug, user string
}

// routeOf finds the endpoint of a URL. It uses the path as it was sent: an escaped slash belongs
// to a parameter, and .. is a slug like any other unknown one.
func routeOf(u *url.URL) (route, bool) {
	parts := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	for i, part := range parts {
		unescaped, err := url.PathUnescape(part)
		if err != nil || unescaped == "" {
			return route{}, false
		}
		parts[i] = unescaped
	}
	switch {
	case len(parts) == 1 && parts[0] == "events":
		return route{endpoint: EndpointEvents}, true
	case len(parts) == 3 && parts[0] == "data-integrations":
		return integrationRoute(parts[1], Endpoint(parts[2]))
	case len(parts) >= 4 && parts[0] == "user_management" && parts[1] == "users":
		return userRoute(parts[2], parts[3:])
	default:
		return route{}, false
	}
}

func integrationRoute(slug string, e Endpoint) (route, bool) {
	found := e == EndpointToken || e == EndpointCredentials || e == EndpointAuthorize
	return route{endpoint: e, slug: slug}, found
}

func userRoute(user string, rest []string) (route, bool) {
	switch {
	case len(rest) == 1 && rest[0] == "data_providers":
		return route{endpoint: EndpointDataProviders, user: user}, true
	case len(rest) == 2 && rest[0] == "connected_accounts":
		return route{endpoint: EndpointConnectedAccounts, user: user, slug: rest[1]}, true
	default:
		return route{}, false
	}
}
