// Package workos asks WorkOS Pipes for access tokens: it is the client of
// POST {baseURL}/data-integrations/{slug}/token.
//
// Whatever WorkOS or the network does, the result is an Answer with one Outcome of a closed
// set. The package returns an error only when the caller's context has ended, or for a
// programming error.
//
// The state that belongs to an API key exists once per key, for all PipesEnvironments that use the
// key: the budget of requests per minute, the gates that a Retry-After or a rejected key closes,
// and the circuits of its integrations. The package never sleeps until a call may leave. It tells
// the caller how long to wait, and the caller comes back: this is the job of a work queue.
//
// API keys and tokens never appear in text. A key is a redact.String, and the shared state knows
// the key only by its SHA-256. The key is redacted in every text that the package quotes from
// WorkOS. Failures of the transport are reported in a fixed vocabulary. A message therefore does
// not show which addresses exist in the operator's network, or which services listen at them.
package workos
