package workossim

import (
	"fmt"
	"net/url"
	"strconv"
)

type authorizePayload struct {
	URL string `json:"url"`
}

// authorizeAnswer returns a new URL at which somebody could connect an account of the user. The
// URL contains the token marker, because a leak of it is as bad as the leak of a token.
func (s *Simulator) authorizeAnswer(c call) *answer {
	s.authorizations++
	opaque := fmt.Sprintf("%s%s_%d_%s", s.tokenMarker, c.id.Slug, s.authorizations,
		digits(AccountID(c.id), strconv.Itoa(s.authorizations)))
	return plainAnswer(ResultAuthorizeURL, authorizePayload{
		URL: "https://api.workos.com/data-integrations/" + url.PathEscape(opaque) + "/authorize-redirect",
	})
}
