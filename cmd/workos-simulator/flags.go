package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"strings"
)

const usage = `workos-simulator plays the part of WorkOS Pipes: tokens, credentials and authorization
URLs of integrations, events, connected accounts and data providers.
Its tokens work nowhere; demos and tests need no WorkOS account with it.

Usage:
  workos-simulator [flags]

Flags:
  --listen ADDRESS      host:port to listen on; port 0 picks a free one (default 127.0.0.1:8089)
  --allow-remote        allow an address that is not loopback; anybody who reaches it can control the simulator
  --seed FILE           YAML to start from (ParseSeed in internal/workossim lists all fields);
                        without it every call is answered 401
  --address-file FILE   write the host:port to FILE once listening, and remove it at the end
  --help                print this

A seed:
  apiKeys: [sk_test_demo]
  connections:
  - {slug: github, userID: user_01, organizationID: org_01, lifetime: 45s,
     refreshLead: 10s, scopes: [repo], tokenPrefix: gho_}
  - {slug: slack, userID: user_01, state: not_installed}
  - {slug: linear, organizationID: org_01, owner: organization, authMethod: api_key}

While it runs, /_simulator/ controls it (see docs of internal/workossim for all of it):
  curl -X POST localhost:8089/_simulator/state  -d '{"slug":"slack","userID":"user_01","state":"connected"}'
  curl -X POST localhost:8089/_simulator/expire -d '{"slug":"slack","userID":"user_01"}'
  curl -X POST localhost:8089/_simulator/faults -d '{"kind":"rate_limited","retryAfter":"30","times":3}'
  curl -X DELETE localhost:8089/_simulator/faults
  curl -X POST localhost:8089/_simulator/faults -d '{"kind":"server_error","endpoint":"events"}'
  curl -X POST localhost:8089/_simulator/rotate -d '{"slug":"linear","organizationID":"org_01","owner":"organization"}'
  curl localhost:8089/_simulator/requests
  curl localhost:8089/_simulator/events

SIGINT and SIGTERM end it. Exit codes: 0 ended by a signal, 1 failed while running, 2 wrong flags or seed.
`

// config is the parsed command line.
type config struct {
	listen      string
	allowRemote bool
	address     *net.TCPAddr // made from listen and allowRemote
	seedFile    string
	addressFile string
}

// flags returns the flags. Parsing them sets the fields of the config.
func (c *config) flags() *flag.FlagSet {
	flags := flag.NewFlagSet("workos-simulator", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // main prints the usage and the errors
	flags.StringVar(&c.listen, "listen", "127.0.0.1:8089", "")
	flags.BoolVar(&c.allowRemote, "allow-remote", false, "")
	flags.StringVar(&c.seedFile, "seed", "", "")
	flags.StringVar(&c.addressFile, "address-file", "", "")
	return flags
}

// parseFlags parses the command line. It returns flag.ErrHelp if the command line asks for help.
func parseFlags(args []string) (config, error) {
	var c config
	flags := c.flags()
	if err := flags.Parse(args); err != nil {
		return config{}, err
	}
	if flags.NArg() > 0 {
		return config{}, fmt.Errorf("%q is no flag: remove it", strings.Join(flags.Args(), " "))
	}
	var err error
	c.address, err = listenAddress(c.listen, c.allowRemote)
	return c, err
}

// listenAddress resolves an address once, so that the server listens on the address that was
// checked.
func listenAddress(listen string, allowRemote bool) (*net.TCPAddr, error) {
	address, err := net.ResolveTCPAddr("tcp", listen)
	if err != nil || listen == "" {
		return nil, fmt.Errorf("--listen %q is not an address: use host:port, such as 127.0.0.1:8089", listen)
	}
	if !allowRemote && !address.IP.IsLoopback() {
		return nil, errors.New("--listen " + listen + " is not a loopback address: use 127.0.0.1, or add --allow-remote")
	}
	return address, nil
}
