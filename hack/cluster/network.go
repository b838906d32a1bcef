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

// The addresses of the cluster, which exist in its own network only.
const (
	nodeName = "node"
	// bridgeName is the interface that pods are connected to. The node has the first address of the pods' network.
	bridgeName  = "cni0"
	podNetwork  = "10.244.0.0/16"
	nodeAddress = "10.244.0.1"
	// serviceNetwork are the addresses of Services. The first one is that of the Service kubernetes. The node has it as an
	// address of its own, and kube-apiserver listens on the port of that Service: no kube-proxy is needed for it.
	serviceNetwork  = "10.96.0.0/16"
	serviceAddress  = "10.96.0.1"
	apiServerPort   = "443"
	loopbackAddress = "127.0.0.1"
)

// apiServerAddress is where the node itself finds kube-apiserver.
var apiServerAddress = net.JoinHostPort(loopbackAddress, apiServerPort)

// makeNetwork makes the interfaces of the node. There is no way out: neither a route nor an interface of the machine.
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

// forward passes on connections from the machine's port to the API server, until the process ends.
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
				fmt.Println("the port on the machine:", err) // into the node's log
				time.Sleep(100 * time.Millisecond)           // as for want of file descriptors, of which others return some
				continue
			}
			go passOn(ctx, connection, apiServerAddress)
		}
	}()
	return nil
}

// passOn copies what comes from a connection to an address, and back, until both sides have ended.
func passOn(ctx context.Context, from net.Conn, address string) {
	defer func() { _ = from.Close() }()
	to, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return // the caller sees its connection end
	}
	defer func() { _ = to.Close() }()
	var ways sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		ways.Go(func() {
			// Either end learns of an error by the end of its connection.
			_, _ = io.Copy(way[1], way[0])
			// The other side learns that no more comes, and may still answer.
			_ = way[1].(*net.TCPConn).CloseWrite()
		})
	}
	ways.Wait()
}
