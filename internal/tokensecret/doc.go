// Package tokensecret turns a token into a Secret, and reads facts about the token from the
// metadata of the Secret.
//
// The Secret is the source of truth. Its annotations hold the expiry, the age and a hash of the
// token, and are written together with the token. managedFields show whether somebody else has
// changed the data since. Therefore the operator never reads a token back.
//
// No function does I/O or reads a clock. The only state is the table of managedFields entries
// that Secrets share.
package tokensecret
