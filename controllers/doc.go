// Package controllers holds the two controllers, and the specs that test them together against a
// real API server and a simulator of WorkOS.
package controllers
