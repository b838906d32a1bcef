// Package tokensecret turns a token into a Secret, and derives facts about the token of a
// Secret from the metadata of the Secret. The Secret is the source of truth. Expiry, age and
// identity of a token are in annotations, which are written in the same write as the token.
// managedFields show whether somebody else has changed the data since. For these reasons
// neither this package nor its users ever read a token back. No function does I/O or reads a
// clock. The only state is the table of managedFields entries that Secrets share.
package tokensecret
