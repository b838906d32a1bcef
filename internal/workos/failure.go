package workos

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// failure describes why no answer came, in a closed vocabulary. It never passes on the text of
// the transport, which contains addresses and the replies of the services at these addresses.
// Otherwise a user who may choose a base URL could explore the operator's network with it. The
// vocabulary says enough to fix a setting. It names a proxy that failed, because proxies are
// the administrator's.
func failure(err error) string {
	var refusal proxyRefusal
	if errors.As(err, &refusal) {
		return refusal.Error()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "proxyconnect" {
		return "the proxy cannot be reached: " + connectionFailure(err)
	}
	return connectionFailure(err)
}

func connectionFailure(err error) string {
	var dns *net.DNSError
	switch {
	case isTimeout(err):
		return "timed out"
	case errors.As(err, &dns) && dns.IsNotFound:
		return "no such host"
	case errors.As(err, &dns):
		return "name resolution failed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed"
	case isTLS(err):
		return "TLS verification failed"
	}
	return "connection failed"
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.As(err, &timeout) && timeout.Timeout()
}

// isTLS reports whether a certificate cannot be verified, the server sends a TLS alert, or the
// server does not speak TLS.
func isTLS(err error) bool {
	var (
		certificate *tls.CertificateVerificationError
		alert       tls.AlertError
		record      tls.RecordHeaderError
	)
	return errors.As(err, &certificate) || errors.As(err, &alert) || errors.As(err, &record)
}
