// Package tokensecret turns a token into a Secret, and the metadata of a Secret into what is known of the token in it.
// The Secret is the source of truth: expiry, age and identity of a token stand in annotations that are written in the same
// write as the token, and whether somebody else has changed the data since is told from managedFields. So nothing here, and
// nothing that uses it, ever reads a token back. Every function is pure.
package tokensecret
