// Package eventfeed knows, for each PipesEnvironment, which events of WorkOS to ask for next, and
// whether the operator follows the events. It makes no request and has no clock: the controller in
// controllers/pipesevents asks for what Query says, and tells Received the answer.
//
// An event is a hint. Nothing is written because of an event alone, so an event that is lost, late,
// repeated or forged can cost a call to WorkOS, and never a token. Therefore nothing is stored: a
// process that starts asks for the events of the last hour, and the PipesTokens ignore those that
// are older than what they know.
package eventfeed
