package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi" //nolint:gosec // what it is known for ended with Go 1.6.3
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// serve simulates github.com and api.github.com for a connection, on port 443. The directory
// contains tls.crt, tls.key and connection.json, which has the format of the simulator's control
// API. serve writes each request as a line of JSON, in the format of Request.
func serve(ctx context.Context, directory string, out io.Writer) error {
	text, err := os.ReadFile(filepath.Join(directory, "connection.json"))
	if err != nil {
		return err
	}
	connection, err := parseConnection(text)
	if err != nil {
		return err
	}
	repositories, err := os.MkdirTemp("", "repositories")
	if err != nil {
		return err
	}
	backend, err := newBackend(ctx, repositories)
	if err != nil {
		return err
	}
	server := &http.Server{
		Addr:              ":443",
		Handler:           newServer(connection, backend, out).handler(),
		ReadHeaderTimeout: 10 * time.Second,
		TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	err = server.ListenAndServeTLS(filepath.Join(directory, "tls.crt"), filepath.Join(directory, "tls.key"))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// parseConnection reads the fields of a connection that determine its tokens.
func parseConnection(text []byte) (workossim.Connection, error) {
	var parsed struct {
		workossim.ID
		TokenPrefix string `json:"tokenPrefix"`
	}
	if err := json.Unmarshal(text, &parsed); err != nil {
		return workossim.Connection{}, fmt.Errorf("reading the connection: %w", err)
	}
	return workossim.Connection{ID: parsed.ID, TokenPrefix: parsed.TokenPrefix}, nil
}

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

const (
	// repository is the repository that config/samples/pod_git.yaml clones.
	repository = "example/private.git"
	// firstCommit is the only commit in it, as input for git fast-import.
	firstCommit = `commit refs/heads/main
committer probe <probe@example.com> 0 +0000
data <<END
Say what it is
END
M 644 inline README.md
data <<END
It is private.
END
`
)

// newBackend creates a bare repository and serves it over HTTP with git itself. It does not
// check tokens.
func newBackend(ctx context.Context, root string) (http.Handler, error) {
	git, err := exec.LookPath("git")
	if err != nil {
		return nil, err
	}
	directory := filepath.Join(root, repository)
	for _, step := range []struct {
		input string
		args  []string
	}{
		{"", []string{"init", "--quiet", "--bare", "--initial-branch=main", directory}},
		{firstCommit, []string{"-C", directory, "fast-import", "--quiet"}},
	} {
		cmd := exec.CommandContext(ctx, git, step.args...)
		cmd.Env = append(os.Environ(), "HOME="+root) // the user may have no home directory
		cmd.Stdin = strings.NewReader(step.input)
		if output, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("git %s: %w: %s", strings.Join(step.args, " "), err, bytes.TrimSpace(output))
		}
	}
	return &cgi.Handler{
		Path:   git,
		Args:   []string{"http-backend"},
		Env:    []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root},
		Logger: log.Default(),
	}, nil
}

// gitUser is the user name with which GitHub accepts a token as the password.
const gitUser = "x-access-token"

// judge returns the scheme of an Authorization header and the serial of its token. The serial is
// 0 if the token is not a token of the connection.
//
// The server does not know any tokens in advance. From the serial in the token it derives the
// token as WorkOS does, and compares the whole value. If the server read the Secret instead, it
// would accept any value that the operator writes. judge does not check whether the token is the
// newest. The test compares the serial in the journal with the tokens that WorkOS has returned.
func judge(header string, connection workossim.Connection) (scheme string, serial int) {
	scheme, credentials, _ := strings.Cut(header, " ")
	token := credentials
	switch scheme {
	case "", "Bearer", "token":
	case "Basic":
		token = basicPassword(credentials)
	default:
		// The scheme is not returned as sent, because it may be a token without a scheme.
		return "other", 0
	}
	serial, err := serialOf(token)
	if err != nil || serial < 1 || token != workossim.TokenValue(connection, serial) {
		return scheme, 0
	}
	return scheme, serial
}

// basicPassword returns the password of gitUser, or an empty string.
func basicPassword(credentials string) string {
	text, err := base64.StdEncoding.DecodeString(credentials)
	user, password, _ := strings.Cut(string(text), ":")
	if err != nil || user != gitUser {
		return ""
	}
	return password
}
