// Package workos asks WorkOS Pipes for access tokens: the client of POST {baseURL}/data-integrations/{slug}/token.
//
// Everything that the upstream does, or that the network does on the way, is an Answer with one Outcome of a closed
// set. An error is left for the caller's own end of context and for programming errors.
//
// What belongs to an API key is kept once per key, whoever uses it: the budget of requests per minute, and the
// gates that a Retry-After or a rejected key closes. Nothing here sleeps. A caller that has to wait is told for how
// long, and comes back: that is what a work queue is good at.
//
// The API key and the tokens never leave in text. Keys are redact.Strings, are known to the shared state by their
// SHA-256 only, and are struck out of what WorkOS says before it is quoted. Failures of the transport are told in a
// fixed vocabulary, so that neither addresses nor what listens there can be read from a message.
package workos
