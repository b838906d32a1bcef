//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

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
)

// apiServerAddress is the address at which the node itself reaches kube-apiserver.
var apiServerAddress = net.JoinHostPort(loopbackAddress, apiServerPort)

// makeNetwork creates the interfaces of the node. It creates no route and no interface that
// leads out of the cluster.
func (n *node) makeNetwork(context.Context) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return err
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("adding a bridge (is the module bridge there?): %w", err)
	}
	for _, address := range []struct {
		link netlink.Link
		cidr string
	}{{bridge, nodeAddress + "/16"}, {lo, serviceAddress + "/32"}} {
		parsed, err := netlink.ParseAddr(address.cidr)
		if err != nil {
			return err
		}
		if err := netlink.AddrAdd(address.link, parsed); err != nil {
			return fmt.Errorf("adding the address %s: %w", address.cidr, err)
		}
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600)
}

// forward forwards connections from the machine's port to the API server, until the process
// ends.
func (n *node) forward(ctx context.Context) error {
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
				fmt.Println("the port on the machine:", err) // stdout is the node's log
				// Accept fails for example when file descriptors run out. Others may be closed
				// meanwhile.
				time.Sleep(100 * time.Millisecond)
				continue
			}
			go passOn(ctx, connection, apiServerAddress)
		}
	}()
	return nil
}

// passOn copies data between a connection and an address in both directions, until both sides
// close.
func passOn(ctx context.Context, from net.Conn, address string) {
	defer func() { _ = from.Close() }()
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return // the client sees that its connection ends
	}
	defer func() { _ = to.Close() }()
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		ways.Go(func() {
			// If a copy fails, both peers notice it because their connections end.
			_, _ = io.Copy(way[1], way[0])
			// This tells the other side that no more data comes. It can still answer.
			_ = way[1].(*net.TCPConn).CloseWrite()
		})
	}
	ways.Wait()
}
