// Package audit writes the audit log: one line of JSON for each token that the operator hands
// out, clears or refuses. A line never contains a token or a hash of one.
//
// The log never delays a caller. If its target is slower than the callers, or cannot be written,
// lines are lost and counted.
package audit
