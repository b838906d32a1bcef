package main

import (
	"encoding/base64"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// gitUser is the user name with which GitHub accepts a token as the password.
const gitUser = "x-access-token"

// judge returns the scheme of an Authorization header and the serial of its token. The serial is
// 0 if the token is not a token of the connection.
//
// The server does not know any tokens in advance. From the serial in the token it derives the
// token as WorkOS does, and compares the whole value. If the server read the Secret instead, it
// would accept any value that the operator writes. judge does not check whether the token is the
// newest. The test compares the serial in the journal with the tokens that WorkOS has returned.
func judge(header string, connection workossim.Connection) (scheme string, serial int) {
	scheme, credentials, _ := strings.Cut(header, " ")
	token := credentials
	switch scheme {
	case "", "Bearer", "token":
	case "Basic":
		token = basicPassword(credentials)
	default:
		// The scheme is not returned as sent, because it may be a token without a scheme.
		return "other", 0
	}
	serial, err := serialOf(token)
	if err != nil || serial < 1 || token != workossim.TokenValue(connection, serial) {
		return scheme, 0
	}
	return scheme, serial
}

// basicPassword returns the password of gitUser, or an empty string.
func basicPassword(credentials string) string {
	text, err := base64.StdEncoding.DecodeString(credentials)
	user, password, _ := strings.Cut(string(text), ":")
	if err != nil || user != gitUser {
		return ""
	}
	return password
}
