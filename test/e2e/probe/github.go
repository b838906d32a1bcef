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

// Request is a request as the server saw it. It has no token.
type Request struct {
	At time.Time `json:"at"`
	// Host is whom the client meant to reach. Path has no query.
	Host      string `json:"host"`
	Path      string `json:"path"`
	UserAgent string `json:"userAgent"`
	// Scheme of the Authorization header: Basic, Bearer or token, as it was sent; other; or nothing, when there is no header.
	Scheme string `json:"scheme,omitempty"`
	// Serial counts the tokens of the connection, as the simulated WorkOS does; 0: the request has none of them.
	Serial int `json:"serial,omitempty"`
	// Status of the answer: 401 for whoever has no right token, or sends it in a way that is not the server's.
	Status int `json:"status"`
}

// server plays those whom the samples call.
type server struct {
	connection workossim.Connection
	backend    http.Handler // of the repositories

	mu      sync.Mutex
	journal *json.Encoder
}

func newServer(connection workossim.Connection, backend http.Handler, out io.Writer) *server {
	return &server{connection: connection, backend: backend, journal: json.NewEncoder(out)}
}

// handler demands a token of everybody, but for the question whether it is there. GitHub's API takes both schemes.
func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.Handle("/", s.guarded(http.NotFoundHandler(), "Basic"))
	mux.Handle("github.com/", s.guarded(s.backend, "Basic"))
	mux.Handle("api.github.com/", s.guarded(http.NotFoundHandler(), "Bearer", "token"))
	mux.Handle("GET api.github.com/user", s.guarded(http.HandlerFunc(user), "Bearer", "token"))
	return mux
}

// guarded lets a request through that has a token of the connection, sent in one of the schemes, and journals each.
func (s *server) guarded(next http.Handler, schemes ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := Request{At: time.Now().UTC(), Host: r.Host, Path: r.URL.Path, UserAgent: r.UserAgent()}
		seen.Scheme, seen.Serial = judge(r.Header.Get("Authorization"), s.connection)
		answer := &answer{ResponseWriter: w, status: http.StatusOK}
		if seen.Serial > 0 && slices.Contains(schemes, seen.Scheme) {
			r.Header.Del("Authorization") // it has done its work, and would become part of the environment of git
			next.ServeHTTP(answer, r)
		} else {
			w.Header().Set("WWW-Authenticate", schemes[0]+` realm="GitHub"`)
			http.Error(answer, "no token of the connection, or not as "+schemes[0], http.StatusUnauthorized)
		}
		seen.Status = answer.status
		s.tell(seen)
	})
}

// tell writes a request into the journal.
func (s *server) tell(seen Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.journal.Encode(seen); err != nil {
		log.Println("writing the journal:", err)
	}
}

// user is whom the token is for.
func user(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.WriteString(w, `{"login":"alice"}`)
}

// answer remembers the status.
type answer struct {
	http.ResponseWriter
	status int
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}
