package main

import (
	"encoding/base64"
	"strings"

	"github.com/pipes-operator/pipes-operator/internal/workossim"
)

// gitUser is the user beside whom GitHub takes a token as the password.
const gitUser = "x-access-token"

// judge gives the scheme of an Authorization header, and the serial of the token in it; 0: it is no token of the connection.
//
// Nobody has shown the server a token: it makes the one that has the serial which the token claims, as WorkOS does, and
// compares all of it. A server that read the Secret as well would find right whatever the operator has put there. Whether the
// token is the newest is for those to say who know what WorkOS has handed out: they read the serial in the journal.
func judge(header string, connection workossim.Connection) (scheme string, serial int) {
	scheme, credentials, _ := strings.Cut(header, " ")
	token := credentials
	switch scheme {
	case "", "Bearer", "token":
	case "Basic":
		token = basicPassword(credentials)
	default:
		return "other", 0 // not as it was sent: that may be a token without a scheme
	}
	serial, err := serialOf(token)
	if err != nil || serial < 1 || token != workossim.TokenValue(connection, serial) {
		return scheme, 0
	}
	return scheme, serial
}

// basicPassword is the password of gitUser, or nothing.
func basicPassword(credentials string) string {
	text, err := base64.StdEncoding.DecodeString(credentials)
	user, password, _ := strings.Cut(string(text), ":")
	if err != nil || user != gitUser {
		return ""
	}
	return password
}
