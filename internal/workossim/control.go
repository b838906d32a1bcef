package workossim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// ControlPrefix is the prefix of the paths of ControlHandler.
const ControlPrefix = "/_simulator/"

// ControlHandler controls a running simulator over HTTP, with JSON. It does not authenticate
// its callers.
//
//	GET    /_simulator/healthz      204
//	GET    /_simulator/connections  all connections, without their tokens
//	POST   /_simulator/connections  a connection, as in ParseSeed: creates or replaces it
//	DELETE /_simulator/connections  {slug, userID, organizationID}: removes it
//	POST   /_simulator/state        {slug, userID, organizationID, state}
//	POST   /_simulator/expire       {slug, userID, organizationID}: its token expires now
//	POST   /_simulator/rotate       {slug, userID, organizationID}: its next key or token is issued
//	POST   /_simulator/members      {organizationID, userIDs}: its active members
//	POST   /_simulator/faults       a Fault, its fields in lower camel case, durations as text
//	DELETE /_simulator/faults
//	GET    /_simulator/requests     every request, and counts for each connection
//	DELETE /_simulator/requests
//	GET    /_simulator/total        {total}: the number of requests, at little cost
//	GET    /_simulator/journal      every request as a line of CSV; see writeJournal
//	POST   /_simulator/api-keys     {apiKeys: [...]}: replaces the accepted keys
//	GET    /_simulator/events       the events that are visible now
//	POST   /_simulator/events       an Event, its fields in lower camel case: emits it
//	DELETE /_simulator/events       forgets all events
//	POST   /_simulator/event-rules  {lose, delay, forbidden, knownFamilies}: changes those given
//	GET    /_simulator/event-requests  every request for events
//
// A connection may also have an owner and an accountID, wherever it has a slug. Requests and
// counts are those of the token and the credentials endpoint, and of unknown URLs.
//
// GET journal is far shorter than GET requests. A rejected request is answered with 400 or 404
// and {"error": "..."}, which says what to do.
func (s *Simulator) ControlHandler() http.Handler {
	endpoints := map[string]http.HandlerFunc{
		"GET healthz":        handle(func(struct{}) (any, error) { return nil, nil }),
		"GET connections":    handle(func(struct{}) (any, error) { return s.connectionViews(), nil }),
		"POST connections":   handle(s.controlPut),
		"DELETE connections": handle(s.controlRemove),
		"POST state":         handle(s.controlState),
		"POST expire":        handle(s.controlExpire),
		"POST rotate":        handle(s.controlRotate),
		"POST members":       handle(s.controlMembers),
		"POST faults":        handle(s.controlInject),
		"DELETE faults":      handle(func(struct{}) (any, error) { s.ClearFaults(); return nil, nil }),
		"GET requests":       handle(func(struct{}) (any, error) { return reportOf(s.Requests()), nil }),
		"DELETE requests":    handle(func(struct{}) (any, error) { s.ResetRequests(); return nil, nil }),
		"POST api-keys":      handle(s.controlKeys),
		"GET total":          handle(func(struct{}) (any, error) { return map[string]int{"total": s.total()}, nil }),
		"GET journal":        s.controlJournal,

		"GET events":         handle(s.controlEvents),
		"POST events":        handle(s.controlEmit),
		"DELETE events":      handle(func(struct{}) (any, error) { s.ForgetEvents(); return nil, nil }),
		"POST event-rules":   handle(s.controlEventRules),
		"GET event-requests": handle(s.controlEventRequests),
	}
	mux := http.NewServeMux()
	var names []string
	for endpoint, handler := range endpoints {
		method, name, _ := strings.Cut(endpoint, " ")
		mux.HandleFunc(method+" "+ControlPrefix+name, s.logged(endpoint, handler))
		names = append(names, endpoint)
	}
	slices.Sort(names)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		err := fmt.Errorf("no %s %s: use one of %s, under %s", r.Method, r.URL.Path, strings.Join(names, ", "), ControlPrefix)
		respond(w, nil, notFoundError{err})
	})
	return mux
}

// logged logs each request that changes something.
func (s *Simulator) logged(endpoint string, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			s.logger.InfoContext(r.Context(), "Control", "endpoint", endpoint)
		}
		handler(w, r)
	}
}

// WithControl returns a handler for the simulator, with ControlHandler at ControlPrefix.
func (s *Simulator) WithControl() http.Handler {
	control := s.ControlHandler()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, ControlPrefix) {
			control.ServeHTTP(w, r)
			return
		}
		s.ServeHTTP(w, r)
	})
}

func (s *Simulator) controlPut(spec connectionSpec) (any, error) {
	c, err := spec.connection()
	if err != nil {
		return nil, err
	}
	s.Put(c)
	return s.connectionView(c.ID)
}

func (s *Simulator) controlRemove(id ID) (any, error) {
	if !s.Remove(id) {
		return nil, noConnection(id)
	}
	return nil, nil
}

func (s *Simulator) controlState(wanted struct {
	ID
	State State `json:"state"`
}) (any, error) {
	if err := checkID(wanted.ID); err != nil {
		return nil, err
	}
	if wanted.State == "" {
		return nil, fmt.Errorf("state: use %s, %s, %s or any other text", Connected, NotInstalled, NeedsReauthorization)
	}
	s.SetState(wanted.ID, wanted.State)
	return s.connectionView(wanted.ID)
}

func (s *Simulator) controlExpire(id ID) (any, error) {
	if !s.Expire(id) {
		return nil, notFoundError{fmt.Errorf("%s holds no token: connect it first", id.path())}
	}
	return s.connectionView(id)
}

func (s *Simulator) controlRotate(id ID) (any, error) {
	if !s.RotateKey(id) {
		return nil, notFoundError{fmt.Errorf("%s is not connected: connect it first", id.path())}
	}
	return s.connectionView(id)
}

func (s *Simulator) controlMembers(wanted struct {
	OrganizationID string   `json:"organizationID"`
	UserIDs        []string `json:"userIDs"`
}) (any, error) {
	if wanted.OrganizationID == "" || wanted.UserIDs == nil {
		return nil, errors.New("organizationID, userIDs: give both, userIDs [] for an organization without members")
	}
	s.SetMembers(wanted.OrganizationID, wanted.UserIDs...)
	return nil, nil
}

func (s *Simulator) controlInject(spec faultSpec) (any, error) {
	f, err := spec.fault()
	if err != nil {
		return nil, err
	}
	s.Inject(f)
	return nil, nil
}

func (s *Simulator) controlKeys(wanted struct {
	APIKeys []string `json:"apiKeys"`
}) (any, error) {
	if wanted.APIKeys == nil {
		return nil, errors.New("apiKeys: give a list of keys, [] to refuse every call")
	}
	if err := checkKeys(wanted.APIKeys); err != nil {
		return nil, err
	}
	s.SetAPIKeys(wanted.APIKeys...)
	return nil, nil
}

// notFoundError is answered with 404. Other errors are mistakes of the caller, and are answered
// with 400.
type notFoundError struct{ error }

func noConnection(id ID) error {
	return notFoundError{fmt.Errorf("there is no connection %s: see GET %sconnections", id.path(), ControlPrefix)}
}

// handle makes a handler from a function that turns a request body into an answer. Without a
// body, the function gets the zero value.
func handle[T any](act func(T) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var wanted T
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequestBytes))
		if err == nil && len(body) > 0 {
			err = decodeStrict(body, &wanted)
		}
		if err != nil {
			respond(w, nil, fmt.Errorf("reading the request's JSON: %w", err))
			return
		}
		answer, err := act(wanted)
		respond(w, answer, err)
	}
}

// respond sends an answer or an error as JSON. Without an answer and an error, it sends 204.
// Answers have types that JSON can encode, so only the connection of the caller can fail.
func respond(w http.ResponseWriter, answer any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadRequest
		if errors.As(err, new(notFoundError)) {
			status = http.StatusNotFound
		}
		answer = map[string]string{"error": err.Error()}
	}
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(answer) //nolint:errchkjson // see above
}
