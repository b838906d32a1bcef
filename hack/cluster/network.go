//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// The addresses of the cluster. They exist only in its own network.
const (
	nodeName = "node"
	// bridgeName is the interface that connects the pods. The node has the first address of the
	// pod network.
	bridgeName  = "cni0"
	podNetwork  = "10.244.0.0/16"
	nodeAddress = "10.244.0.1"
	// serviceNetwork is the address range of Services. Its first address belongs to the Service
	// kubernetes. The node has that address on its own interface, and kube-apiserver listens on
	// the port of that Service. The cluster therefore needs no kube-proxy.
	serviceNetwork  = "10.96.0.0/16"
	serviceAddress  = "10.96.0.1"
	apiServerPort   = "443"
	loopbackAddress = "127.0.0.1"
	// apiServerAddress is the address at which the node itself reaches kube-apiserver.
	apiServerAddress = loopbackAddress + ":" + apiServerPort
)

// makeNetwork creates the interfaces of the node. It creates no route and no interface that
// leads out of the cluster.
func (n *node) makeNetwork(context.Context) error {
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("adding a bridge (is the module bridge there?): %w", err)
	}
	for name, address := range map[string]string{bridgeName: nodeAddress + "/16", "lo": serviceAddress + "/32"} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		if err := netlink.LinkSetUp(link); err != nil {
			return err
		}
		parsed, err := netlink.ParseAddr(address)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(link, parsed); err != nil {
			return fmt.Errorf("adding the address %s: %w", address, err)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

// forward forwards connections from the machine's port to the API server, until the process
// ends.
func (n *node) forward(context.Context) error {
	file := os.NewFile(listenerFile, "listener")
	listener, err := net.FileListener(file)
	if err != nil {
		return err
	}
	_ = file.Close() // the listener has a copy
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				n.end(fmt.Errorf("the port on the machine: %w", err))
				return
			}
			go passOn(connection, apiServerAddress)
		}
	}()
	return nil
}

// passOn copies data between a connection and an address in both directions, until one side
// closes.
func passOn(from net.Conn, address string) {
	defer func() { _ = from.Close() }()
	to, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", address)
	if err != nil {
		return // the client sees that its connection ends
	}
	defer func() { _ = to.Close() }()
	ended := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(way[1], way[0]) // after an error, both sides see that their connections end
			ended <- struct{}{}
		}()
	}
	<-ended
}
