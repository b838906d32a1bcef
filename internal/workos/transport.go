package workos

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"
)

// NewTransport returns the transport for WorkOS: one host, many small calls at once.
//
// HTTP/2 carries them over a few connections; its pings find connections that died silently, which would otherwise
// take every call into a timeout until the kernel gives up, a quarter of an hour later. Should only HTTP/1.1 be on
// offer, 256 idle connections are kept, for 50 s: less than the 60 s after which common load balancers drop them.
// TLS is 1.2 or newer, and proxies are taken from the environment. Answers come uncompressed, so that the bound on
// a body is one on what is read off the wire.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: checkProxy,
		DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    5 * time.Second,
		ResponseHeaderTimeout:  10 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           512,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        50 * time.Second,
		DisableCompression:     true,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}

// proxyRefusal is the status with which a proxy refuses to connect to WorkOS.
type proxyRefusal int

func (r proxyRefusal) Error() string {
	return "the proxy refuses the connection: " + httpStatus(int(r))
}

// checkProxy keeps the status of a refusal. net/http would return the words alone that the proxy puts beside it.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return proxyRefusal(response.StatusCode)
	}
	return nil
}
