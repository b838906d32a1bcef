package workos

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/url"
	"time"
)

// NewTransport returns the transport for WorkOS: one host, and many small calls at once.
//
// HTTP/2 carries the calls over a few connections. Its pings detect connections that died
// silently. Without pings every call on such a connection would time out, until the kernel
// gives up after a quarter of an hour. If the server offers only HTTP/1.1, 256 idle connections
// are kept for 50 s, which is less than the 60 s after which common load balancers drop them.
// TLS must be 1.2 or newer, and proxies are taken from the environment. Answers are not
// compressed, so that maxBody also bounds the bytes that are read from the network.
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

// proxyRefusal is the HTTP status with which a proxy refuses to connect to WorkOS.
type proxyRefusal int

func (r proxyRefusal) Error() string {
	return "the proxy refuses the connection: " + httpStatus(int(r))
}

// checkProxy keeps the status of a proxy's refusal. Without it net/http would return only the
// words that the proxy sends next to the status.
func checkProxy(_ context.Context, _ *url.URL, _ *http.Request, response *http.Response) error {
	if response.StatusCode != http.StatusOK {
		return proxyRefusal(response.StatusCode)
	}
	return nil
}
