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

// maxBody bounds what is read of a response, in bytes. A token's answer has a few hundred.
const maxBody = 1 << 20

var (
	// errTooLong says that a response has more than maxBody.
	errTooLong = errors.New("longer than 1 MiB")
	// errCompressed says that a response is compressed, although the request asks for an uncompressed one.
	errCompressed = errors.New("compressed")
)

// Client asks for tokens with one API key at one base URL. Upstream.Connect makes it. It is safe for concurrent use.
type Client struct {
	upstream *Upstream
	state    *keyState
	owner    string
	base     *url.URL // .../data-integrations
	key      redact.String
}

// Format implements fmt.Formatter: the base URL is all that is to be seen. fmt would otherwise walk state that
// others are changing.
func (c Client) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "workos.Client(%s)", c.base)
}

// Token asks for the token of one connection, when it is its turn. What comes of it is an Answer, whatever the upstream does. The error
// is not nil only when ctx has ended (and wraps ctx.Err()), or when the program is wrong: a request that names no
// user or whose slug is none, or a panic on the way.
//
// Calls for the same connection with the same key and base URL that overlap share one request, and its answer. A
// caller whose ctx ends leaves alone; the request goes on for the others, until Options.Timeout.
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

// Trouble returns why calls with this client are held back now. False: they are not.
func (c *Client) Trouble() (Trouble, bool) {
	return c.state.trouble(c.base.String(), c.upstream.clock.Now())
}

// Epoch is the Answer.Epoch of an answer that is given now. It differs from an earlier one if calls that were held back then may leave.
func (c *Client) Epoch() uint64 { return c.state.currentEpoch() }

// Need tells how many requests a minute the client's owner needs. It returns how many all owners that use the same API key need
// together, and how many they may make.
func (c *Client) Need(perMinute float64) (together float64, limit int) {
	return c.state.need(c.owner, perMinute)
}

// ask sends the call if gates and budget let it pass, and keeps what the answer says of the key. It turns a panic
// into an error, because one in a flight could not be recovered by anybody; of the panic it tells no more than is
// safe to log.
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
	answer, err = c.send(ctx, call.request)
	if err != nil {
		return Answer{}, err
	}
	now := c.upstream.clock.Now()
	answer, releases := c.state.settle(call, answer, now)
	c.state.share(call, turn, answer)
	c.upstream.report(append(releases, c.state.park(call, answer, now)...))
	return answer, nil
}

// send makes the request. It goes to the transport directly: what http.Client would add are redirects.
func (c *Client) send(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.upstream.timeout)
	defer cancel()
	request, err := c.newRequest(ctx, r)
	if err != nil {
		return Answer{}, err
	}
	sent := c.upstream.clock.Now()
	response, err := c.upstream.transport.RoundTrip(request)
	if err != nil {
		return Answer{Outcome: OutcomeUnavailable, Message: failure(err), Sent: true}, nil
	}
	defer response.Body.Close() //nolint:errcheck // only read from
	received := c.upstream.clock.Now()
	body, readErr := readBody(response)
	answer := decode(response.StatusCode, body, readErr, c.key)
	answer.RequestID = requestID(response.Header, c.key)
	if answer.Outcome != OutcomeBusy { // That concerns one connection, and no gate may close for it.
		answer.RetryAfter = retryAfter(response.StatusCode, response.Header, received)
	}
	answer.ClockSkew, answer.ClockDoubt = clockSkew(response.Header, sent, received)
	answer.Sent = true
	return answer, nil
}

func (c *Client) newRequest(ctx context.Context, r Request) (*http.Request, error) {
	body, err := r.body()
	if err != nil {
		return nil, fmt.Errorf("encoding the request: %w", err)
	}
	target := c.base.JoinPath(url.PathEscape(r.Slug), "token").String()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("building the request: %w", err)
	}
	request.Header.Set("Authorization", "Bearer "+c.key.Reveal())
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Accept-Encoding", "identity")
	request.Header.Set("User-Agent", c.upstream.userAgent)
	return request, nil
}

// readBody reads to the end, so that the connection can be used again, or gives up after maxBody. The "body" of a
// 101 is the connection itself, which no deadline ends: it is left alone.
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

// panicError names a panic of the runtime, and only the type of any other: a value may hold a request with its key.
func panicError(p any) error {
	if err, ok := p.(runtime.Error); ok {
		return fmt.Errorf("recovered from a panic: %w", err)
	}
	return fmt.Errorf("recovered from a panic with a %T", p)
}
