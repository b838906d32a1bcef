package main

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// Request is a request that the server received, without the token.
type Request struct {
	At time.Time `json:"at"`
	// Host is the host name in the request. Path has no query.
	Host      string `json:"host"`
	Path      string `json:"path"`
	UserAgent string `json:"userAgent"`
	// Scheme is the scheme of the Authorization header: Basic, Bearer or token, exactly as sent.
	// It is other for any other scheme, and empty without the header.
	Scheme string `json:"scheme,omitempty"`
	// Serial counts the tokens of the connection, as the simulated WorkOS does. 0: the request
	// has no token of the connection.
	Serial int `json:"serial,omitempty"`
	// Status is the status of the response. It is 401 if the token is wrong or missing, or if
	// the scheme is wrong.
	Status int `json:"status"`
}

// server simulates the servers that the samples call.
type server struct {
	connection workossim.Connection
	backend    http.Handler // serves the repositories

	mu      sync.Mutex
	journal *json.Encoder
}

func newServer(connection workossim.Connection, backend http.Handler, out io.Writer) *server {
	return &server{connection: connection, backend: backend, journal: json.NewEncoder(out)}
}

// handler requires a token for all requests except the health check. GitHub's API accepts both
// schemes.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", s.guarded(http.NotFoundHandler(), "Basic"))
	mux.Handle("github.com/", s.guarded(s.backend, "Basic"))
	mux.Handle("api.github.com/", s.guarded(http.NotFoundHandler(), "Bearer", "token"))
	mux.Handle("GET api.github.com/user", s.guarded(http.HandlerFunc(user), "Bearer", "token"))
	return mux
}

// guarded passes on requests with a token of the connection in an accepted scheme, and records
// each request in the journal.
func (s *server) guarded(next http.Handler, schemes ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := Request{At: time.Now().UTC(), Host: r.Host, Path: r.URL.Path, UserAgent: r.UserAgent()}
		seen.Scheme, seen.Serial = judge(r.Header.Get("Authorization"), s.connection)
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		if seen.Serial > 0 && slices.Contains(schemes, seen.Scheme) {
			// The token has been checked. git would get the header in its environment otherwise.
			r.Header.Del("Authorization")
			next.ServeHTTP(answer, r)
		} else {
			w.Header().Set("WWW-Authenticate", schemes[0]+` realm="GitHub"`)
			http.Error(answer, "no token of the connection, or not as "+schemes[0], http.StatusUnauthorized)
		}
		seen.Status = answer.status
		s.tell(seen)
	})
}

// tell writes a request to the journal.
func (s *server) tell(seen Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.journal.Encode(seen); err != nil {
		log.Println("writing the journal:", err)
	}
}

// user returns the user of the token.
func user(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, `{"login":"alice"}`)
}

// answer records the status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}
