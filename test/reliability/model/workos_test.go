//go:build reliability

package model_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strconv"
	"time"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

const (
	upstreamHost = "workos.test"
	baseURL      = "https://" + upstreamHost
)

// call is one call to WorkOS and its answer.
type call struct {
	number int
	workossim.Request
	// inactive: the answer says that there is no active connection.
	inactive bool
}

// issued is a token that WorkOS has issued.
type issued struct {
	id      workossim.ID
	serial  int
	expires time.Time
	// told are the expiry times in the answers of WorkOS. They may be false.
	told []time.Time
}

func (o *operator) upstreamTransport() http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		p := o.pass
		p.asking = askedFor(o.world, request)
		o.world.checkDeparture(o, request.Header.Get("Authorization"))
		var response *http.Response
		err := o.ask("WorkOS", func() (err error) {
			response, err = o.world.call(o, p, request) //nolint:bodyclose // the caller of the transport does
			return err
		})
		p.lookAfterCall(o)
		if err != nil {
			return nil, err
		}
		o.heard(request, response)
		return response, nil
	})
}

// askedFor is the connection that a request asks for.
func askedFor(w *world, request *http.Request) workossim.ID {
	body, err := request.GetBody()
	w.must(err)
	var fields struct {
		UserID         string          `json:"user_id"`
		OrganizationID string          `json:"organization_id"`
		Owner          workossim.Owner `json:"connection_owner"`
		AccountID      string          `json:"connected_account_id"`
	}
	w.must(json.NewDecoder(body).Decode(&fields))
	return workossim.ID{
		Slug: path.Base(path.Dir(request.URL.Path)), UserID: fields.UserID, OrganizationID: fields.OrganizationID,
		Owner: fields.Owner, AccountID: fields.AccountID,
	}
}

// heard notes until when a 429 answer forbids calls with its API key.
func (o *operator) heard(request *http.Request, response *http.Response) {
	if response.StatusCode != http.StatusTooManyRequests {
		return
	}
	wait := time.Second // the operator's value for a 429 without Retry-After
	text := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(text); err == nil {
		said, err := http.ParseTime(response.Header.Get("Date"))
		o.world.must(err)
		wait = date.Sub(said)
	}
	// The operator does not believe more than an hour.
	o.held[request.Header.Get("Authorization")] = monotonic{o}.Now().Add(min(wait, time.Hour))
}

// call lets the simulator answer at once. An answer that would take time, or that would never
// come, fails at once too.
func (w *world) call(o *operator, p *pass, request *http.Request) (*http.Response, error) {
	impatient, cancel := context.WithCancel(request.Context())
	cancel()
	received := &answerRecorder{header: http.Header{}}
	aborted := received.serve(w.workos, request.WithContext(impatient))
	latest := w.workos.RequestsAfter(len(w.calls))[0]
	announced := received.header.Get("Content-Length")
	cut := aborted || announced != "" && announced != itoa(received.body.Len())
	made := call{number: len(w.calls) + 1, Request: latest, inactive: !cut && received.inactive()}
	w.calls, p.asked = append(w.calls, made), made.number
	w.logf("%d: call %d for %s answers %d %s %d", o.id, made.number, p.request, made.Status, made.Result, made.TokenSerial)
	if made.TokenSerial > 0 {
		value, expires, _ := w.workos.CurrentToken(made.ID)
		w.issued[value] = issued{made.ID, made.TokenSerial, expires, append(w.issued[value].told, received.expiry())}
	}
	if received.status == 0 {
		return nil, errors.New("connection reset by peer")
	}
	body := io.Reader(&received.body)
	if cut {
		body = io.MultiReader(body, cutOff{})
	}
	return &http.Response{
		StatusCode: received.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: received.header, Body: io.NopCloser(body), Request: request,
	}, nil
}

// cutOff is the end of a connection that was cut: it returns io.ErrUnexpectedEOF.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answerRecorder is the client side of the connection.
type answerRecorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *answerRecorder) Header() http.Header         { return r.header }
func (r *answerRecorder) WriteHeader(status int)      { r.status = status }
func (r *answerRecorder) Write(p []byte) (int, error) { return r.body.Write(p) }

// inactive reports whether the answer says that there is no active connection.
func (r *answerRecorder) inactive() bool {
	var answer struct {
		Active *bool `json:"active"`
	}
	return r.status == http.StatusOK && json.Unmarshal(r.body.Bytes(), &answer) == nil && answer.Active != nil && !*answer.Active
}

// expiry is the expiry of the token in the answer; zero if the answer has none.
func (r *answerRecorder) expiry() time.Time {
	var answer struct {
		AccessToken struct {
			ExpiresAt time.Time `json:"expires_at"`
		} `json:"access_token"`
	}
	// The operator takes no expiry from an answer that it cannot parse.
	_ = json.Unmarshal(r.body.Bytes(), &answer)
	return answer.AccessToken.ExpiresAt
}

// serve reports whether the simulator has cut the connection.
func (r *answerRecorder) serve(handler http.Handler, request *http.Request) (aborted bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler { //nolint:errorlint // it is the very value
				panic(p)
			}
			aborted = true
		}
	}()
	handler.ServeHTTP(r, request)
	return false
}
