package workos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/redact"
)

// maxBody bounds how much of a response is read, in bytes. An answer with a token usually has a
// few hundred.
const maxBody = 1 << 20

var (
	// errTooLong says that a response is longer than maxBody.
	errTooLong = errors.New("longer than 1 MiB")
	// errCompressed says that a response is compressed, although the request asks for an
	// uncompressed one.
	errCompressed = errors.New("compressed")
)

// Client asks for tokens with one API key at one base URL. Upstream.Connect creates it. It is
// safe for concurrent use.
type Client struct {
	upstream *Upstream
	state    *keyState
	owner    string
	base     *url.URL // .../data-integrations
	key      redact.String
}

// Format implements fmt.Formatter and prints only the base URL. Without it fmt would read state
// that other goroutines are changing.
func (c Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "workos.Client(%s)", c.base)
}

// Token asks for the token of one connection, if it is the call's turn. Whatever WorkOS or the
// network does, the result is an Answer. The error is not nil only when ctx has ended (it then
// wraps ctx.Err()), or for a programming error: a request without a user or with an invalid
// slug, or a panic on the way.
//
// Calls for the same connection with the same key and base URL that overlap share one request
// and its answer. If the ctx of a caller ends, only that caller stops waiting. The request goes
// on, until Options.Timeout.
func (c *Client) Token(ctx context.Context, r Request, turn Turn) (Answer, error) {
	if err := r.validate(); err != nil {
		return Answer{}, fmt.Errorf("asking WorkOS for a token: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return Answer{}, fmt.Errorf("asking WorkOS for a token of %s: %w", r.Slug, err)
	}
	call := call{base: c.base.String(), request: r}
	if answer, here := c.state.enter(call, turn, c.upstream.clock.Now()); here {
		return answer, nil
	}
	flight := c.state.flights.DoChan(call.String(), func() (any, error) {
		return c.ask(context.WithoutCancel(ctx), call, turn)
	})
	landed, err := c.await(ctx, call, flight)
	if err = errors.Join(err, landed.Err); err != nil {
		return Answer{}, fmt.Errorf("asking WorkOS for a token of %s: %w", r.Slug, err)
	}
	return landed.Val.(Answer).clone(), nil
}

// Trouble returns why calls of this client are held back now. The result is false if they are not.
func (c *Client) Trouble() (Trouble, bool) {
	return c.state.trouble(c.base.String(), c.upstream.clock.Now())
}

// Epoch returns the Answer.Epoch of an answer that is given now. If it differs from that of an
// earlier answer, calls that were held back then may leave.
func (c *Client) Epoch() uint64 { return c.state.currentEpoch() }

// Need records how many requests a minute the client's owner needs. It returns how many
// requests a minute all owners with the same API key need together, and how many they may make.
func (c *Client) Need(perMinute float64) (together float64, limit int) {
	return c.state.need(c.owner, perMinute)
}

// ask sends the call if gates, circuit and budget let it pass, and records what the answer says
// about the key. It turns a panic into an error, because no caller could recover a panic inside
// a flight, which runs in a goroutine of its own. The error contains only as much of the panic
// as is safe to log.
func (c *Client) ask(ctx context.Context, call call, turn Turn) (answer Answer, err error) {
	defer func() {
		if p := recover(); p != nil {
			answer, err = Answer{}, panicError(p)
		}
	}()
	if refusal, refused := c.state.admit(call, turn, c.upstream.clock.Now()); refused {
		return refusal, nil
	}
	defer func() { c.state.ended(call, c.upstream.clock.Now()) }()
	answer, err = c.askToken(ctx, call.request)
	if err != nil {
		return Answer{}, err
	}
	now := c.upstream.clock.Now()
	answer, releases := c.state.settle(call, answer, now)
	c.state.share(call, turn, answer)
	c.upstream.report(append(releases, c.state.park(call, answer, now)...))
	return answer, nil
}

// askToken makes a request for a token.
func (c *Client) askToken(ctx context.Context, r Request) (Answer, error) {
	body, err := r.body()
	if err != nil {
		return Answer{}, fmt.Errorf("encoding the request: %w", err)
	}
	target := c.base.JoinPath(url.PathEscape(r.Slug), r.endpoint()).String()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return Answer{}, fmt.Errorf("building the request: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	got := c.send(request)
	if got.answer.Outcome != "" {
		return got.answer, nil
	}
	decoded := decode(got.status, got.body, got.readErr, c.key, r.Method)
	answer := got.answer
	answer.Outcome, answer.Token, answer.Message = decoded.Outcome, decoded.Token, decoded.Message
	// OutcomeBusy concerns one connection only, so no gate may close for it.
	if answer.Outcome == OutcomeBusy {
		answer.RetryAfter = 0
	}
	return answer, nil
}

// response is what has come back for a request.
type response struct {
	status  int
	body    []byte
	readErr error
	// answer has the fields that do not depend on the body. It has an Outcome only if no response
	// has come.
	answer Answer
}

// send sends a request. It uses the transport directly, because http.Client would follow
// redirects.
func (c *Client) send(request *http.Request) response {
	ctx, cancel := context.WithTimeout(request.Context(), c.upstream.timeout)
	defer cancel()
	request.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", c.upstream.userAgent)
	sent := c.upstream.clock.Now()
	got, err := c.upstream.transport.RoundTrip(request.WithContext(ctx))
	if err != nil {
		return response{answer: Answer{
			Outcome: OutcomeUnavailable, Message: failure(err), Sent: true, Took: c.upstream.clock.Since(sent),
		}}
	}
	defer got.Body.Close() //nolint:errcheck // only read from
	received := c.upstream.clock.Now()
	body, readErr := readBody(got)
	answer := Answer{
		RequestID: requestID(got.Header, c.key), RetryAfter: retryAfter(got.StatusCode, got.Header, received),
		Sent: true, Took: c.upstream.clock.Since(sent),
	}
	answer.ClockSkew, answer.ClockDoubt = clockSkew(got.Header, sent, received)
	return response{status: got.StatusCode, body: body, readErr: readErr, answer: answer}
}

// readBody reads the body to its end, so that the connection can be used again, but gives up
// after maxBody. It does not read the "body" of a 101, which is the connection itself: no
// deadline ends it.
func readBody(response *http.Response) ([]byte, error) {
	if response.StatusCode == http.StatusSwitchingProtocols {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody+1))
	encoding := response.Header.Get("Content-Encoding")
	switch {
	case len(body) > maxBody:
		return nil, errTooLong
	case err == nil && encoding != "" && !strings.EqualFold(encoding, "identity"):
		return nil, errCompressed
	}
	return body, err
}

// panicError keeps the text of a runtime error, but only the type of any other panic value.
// That value may contain a request with its key.
func panicError(p any) error {
	if err, ok := p.(runtime.Error); ok {
		return fmt.Errorf("recovered from a panic: %w", err)
	}
	return fmt.Errorf("recovered from a panic with a %T", p)
}
