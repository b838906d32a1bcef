package workossim

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// FaultKind is a way to misbehave.
type FaultKind string

// Faults that answer in place of WorkOS. They apply to every matching call before its key is
// checked. They leave connections and tokens alone.
const (
	// FaultStatus answers with Fault.Status and the body that WorkOS sends with it: HTML from
	// 500 up.
	FaultStatus FaultKind = "status"
	// FaultRateLimited answers 429. Its three forms are: no Retry-After, Fault.RetryAfter, and
	// Fault.RetryAfterDate.
	FaultRateLimited FaultKind = "rate_limited"
	// FaultServerError answers 500 with an HTML page.
	FaultServerError FaultKind = "server_error"
	// FaultAccountSelection answers 409: several connections match.
	FaultAccountSelection FaultKind = "account_selection_required"
	// FaultAuthMethodMismatch answers 422: the account is not OAuth.
	FaultAuthMethodMismatch FaultKind = "auth_method_mismatch"
	// FaultValidation answers 422 with a list of fields.
	FaultValidation FaultKind = "validation_failed"
	// FaultEndlessBody answers 200 with JSON that never ends, until the caller hangs up.
	FaultEndlessBody FaultKind = "endless_body"
	// FaultTimeout never answers; it waits until the caller gives up.
	FaultTimeout FaultKind = "timeout"
	// FaultReset resets the connection (the stream, in HTTP/2) without an answer.
	FaultReset FaultKind = "connection_reset"
)

// Faults that spoil an answer of status 200. The call took place: a token that was due has been
// refreshed.
const (
	// FaultMalformedJSON ends the body with a syntax error. If the answer has a token, the body
	// still contains it.
	FaultMalformedJSON FaultKind = "malformed_json"
	// FaultTruncatedJSON sends half of the body that Content-Length announces.
	FaultTruncatedJSON FaultKind = "truncated_json"
	// FaultUnknownError answers active:false with an unknown error.
	FaultUnknownError FaultKind = "unknown_error"
	// FaultExtraFields adds unknown fields. The rest of the answer is correct.
	FaultExtraFields FaultKind = "extra_fields"
)

// Faults that spoil a token. They do not apply to calls that would not get a token anyway.
const (
	// FaultNoToken answers active:true and nothing else.
	FaultNoToken FaultKind = "no_token"
	// FaultEmptyToken answers active:true with an empty token.
	FaultEmptyToken FaultKind = "empty_token"
	// FaultControlCharacters appends control characters to the token.
	FaultControlCharacters FaultKind = "control_characters"
	// FaultActiveWithError answers active:true with an error beside the token, as a fixture of
	// the WorkOS SDK does. The token is valid.
	FaultActiveWithError FaultKind = "active_with_error"
	// FaultExpiredToken answers with an expires_at of an hour ago.
	FaultExpiredToken FaultKind = "expired_token"
)

// Faults that apply in addition to everything else, including other faults.
const (
	// FaultLatency delays the answer by Fault.Latency, or until Fault.Hold is closed.
	FaultLatency FaultKind = "latency"
	// FaultDateOffset moves the Date header by Fault.DateOffset.
	FaultDateOffset FaultKind = "date_offset"
)

// Fault is a misbehaviour to inject. If several faults match a call, the first one injected
// applies. A list of faults with Times is therefore a script. FaultLatency and FaultDateOffset
// apply in addition.
type Fault struct {
	// Endpoint is the endpoint whose calls the fault applies to. Default: EndpointToken.
	Endpoint Endpoint
	// Match is the connection whose calls the fault applies to. Without a UserID it means all
	// connections of its slug, or all calls for the connection of an organization if that is the
	// Owner. Nil means all calls.
	Match *ID
	// Kind is required.
	Kind FaultKind
	// Times is the number of calls that the fault applies to. Zero means until ClearFaults.
	Times int
	// Status replaces the status of the kind. FaultStatus requires it.
	Status int
	// Body replaces the body of the kind.
	Body string
	// RetryAfter is sent unchanged as the Retry-After header.
	RetryAfter string
	// RetryAfterDate, if not 0, sends a Retry-After header with a date: the time of the
	// simulator plus this duration.
	RetryAfterDate time.Duration
	// Latency delays the answer, with any kind. It uses the wall clock, because a simulated
	// clock may stand still.
	Latency time.Duration
	// Hold delays the answer until the channel is closed, with any kind. A test uses it to
	// control the latency.
	Hold <-chan struct{}
	// DateOffset moves the Date header, with any kind.
	DateOffset time.Duration
}

// Inject adds a fault. It panics if Validate rejects the fault, because that is a mistake in
// the calling program.
func (s *Simulator) Inject(f Fault) {
	if err := f.Validate(); err != nil {
		panic(fmt.Sprintf("workossim: %v", err))
	}
	if f.Match != nil {
		match := f.Match.asked()
		f.Match = &match
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &f)
}

// ClearFaults removes all faults. Requests that are held stay held.
func (s *Simulator) ClearFaults() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// faultClass is the point of a call at which a fault acts.
type faultClass int

const (
	replaces     faultClass = iota + 1 // answers in place of WorkOS
	silences                           // the same, but without a status, body or header to choose
	spoilsAnswer                       // changes an answer of status 200
	spoilsToken                        // changes an answer with a token
	comesOnTop
)

var faultClasses = map[FaultKind]faultClass{
	FaultStatus:             replaces,
	FaultRateLimited:        replaces,
	FaultServerError:        replaces,
	FaultAccountSelection:   replaces,
	FaultAuthMethodMismatch: replaces,
	FaultValidation:         replaces,
	FaultEndlessBody:        silences,
	FaultTimeout:            silences,
	FaultReset:              silences,
	FaultMalformedJSON:      spoilsAnswer,
	FaultTruncatedJSON:      spoilsAnswer,
	FaultUnknownError:       spoilsAnswer,
	FaultExtraFields:        spoilsAnswer,
	FaultNoToken:            spoilsToken,
	FaultEmptyToken:         spoilsToken,
	FaultControlCharacters:  spoilsToken,
	FaultActiveWithError:    spoilsToken,
	FaultExpiredToken:       spoilsToken,
	FaultLatency:            comesOnTop,
	FaultDateOffset:         comesOnTop,
}

// FaultKinds returns all kinds, sorted by name.
func FaultKinds() []FaultKind {
	return slices.Sorted(maps.Keys(faultClasses))
}

func (k FaultKind) class() faultClass { return faultClasses[k] }

// Validate returns an error of one line that says what is wrong with a fault and how to fix it.
func (f Fault) Validate() error {
	if f.Kind.class() == 0 {
		return fmt.Errorf("kind %q is not a fault: use one of %s", f.Kind, joined(FaultKinds()))
	}
	checks := []struct {
		wrong bool
		text  string
	}{
		{f.Times < 0, "times: use 0 (until cleared) or more"},
		{f.Latency < 0, "latency: use 0 or more"},
		{f.Status != 0 && (f.Status < http.StatusOK || f.Status > 599), "status: use 200 to 599"},
		{f.RetryAfter != "" && f.RetryAfterDate != 0, "retryAfter, retryAfterDate: use one of the two"},
		{f.Kind == FaultStatus && f.Status == 0, "status: the fault status needs one, 200 to 599"},
		{f.Kind == FaultLatency && f.Latency == 0 && f.Hold == nil, "latency: the fault latency needs a duration"},
		{f.Kind == FaultDateOffset && f.DateOffset == 0, "dateOffset: the fault date_offset needs a duration"},
		{f.decidesNoAnswer() && f.wantsAnswer(),
			fmt.Sprintf("status, body, retryAfter, retryAfterDate: the fault %s has no use for them", f.Kind)},
	}
	if err := f.validateMatch(); err != nil {
		return err
	}
	for _, check := range checks {
		if check.wrong {
			return errors.New(check.text)
		}
	}
	return nil
}

// validateMatch returns an error about the calls that a fault applies to.
func (f Fault) validateMatch() error {
	switch m := f.Match; {
	case f.Endpoint != "" && !slices.Contains(faultEndpoints, f.Endpoint):
		return fmt.Errorf("endpoint: use one of %s", joined(faultEndpoints))
	case m == nil:
		return nil
	case m.Slug == "":
		return errors.New("match: name a slug, or leave match out to match every call")
	case m.UserID == "" && m.OrganizationID != "" && m.Owner != OwnerOrganization:
		return errors.New("match: name a userID beside the organizationID")
	case f.Endpoint == EndpointEvents || f.Endpoint == EndpointDataProviders:
		return errors.New("match: leave it out, because calls of this endpoint name no slug")
	default:
		return nil
	}
}

func (f Fault) decidesNoAnswer() bool {
	return f.Kind.class() == silences || f.Kind.class() == comesOnTop
}

func (f Fault) wantsAnswer() bool {
	return f.Status != 0 || f.Body != "" || f.RetryAfter != "" || f.RetryAfterDate != 0
}

// joined lists names for a message.
func joined[T ~string](names []T) string {
	var texts []string
	for _, name := range names {
		texts = append(texts, string(name))
	}
	return strings.Join(texts, ", ")
}

// faultEndpoints are the values of Fault.Endpoint.
var faultEndpoints = []Endpoint{
	EndpointToken, EndpointCredentials, EndpointAuthorize, EndpointEvents,
	EndpointConnectedAccounts, EndpointDataProviders, AnyEndpoint,
}

func (f Fault) matches(e Endpoint, id ID) bool {
	if of := cmp.Or(f.Endpoint, EndpointToken); of != e && of != AnyEndpoint {
		return false
	}
	switch {
	case f.Match == nil:
		return true
	case f.Match.UserID == "" && f.Match.Owner == OwnerOrganization:
		return id.canonical() == f.Match.canonical()
	case f.Match.UserID == "":
		return f.Match.Slug == id.Slug
	default:
		return *f.Match == id
	}
}

// leavesTokenGood reports whether a caller still gets a token that it can use.
func (f Fault) leavesTokenGood() bool {
	if f.Hold != nil {
		return false
	}
	switch f.Kind {
	case FaultLatency, FaultDateOffset:
		return true
	case FaultActiveWithError, FaultExtraFields:
		return f.Status == 0 && f.Body == ""
	default:
		return false
	}
}
