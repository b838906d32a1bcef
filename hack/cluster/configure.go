//go:build linux

package main

import (
	"bytes"
	"context"
	"embed"
	"os"
	"text/template"
)

//go:embed templates
var templates embed.FS

// configure writes the configuration files of containerd, the kubelet and the CNI plugins.
func (n *node) configure(context.Context) error {
	values := map[string]string{
		"Node": n.node, "Etc": n.place.path("etc"), "SandboxImage": n.sandboxImage,
		"ClientCA": n.place.path("pki", "ca.crt"), "CgroupRoot": "/" + cgroupName,
		"Bridge": bridgeName, "PodNetwork": podNetwork,
	}
	parsed, err := template.New("").Option("missingkey=error").ParseFS(templates, "templates/*")
	if err != nil {
		return err
	}
	if err := os.Mkdir(n.place.path("etc", "cni"), 0o700); err != nil {
		return err
	}
	for name, file := range map[string]string{
		"containerd.toml": n.place.path("etc", "containerd.toml"),
		"kubelet.yaml":    n.place.path("etc", "kubelet.yaml"),
		"cni.conflist":    n.place.path("etc", "cni", "10-bridge.conflist"),
		"resolv.conf":     n.place.path("etc", "resolv.conf"),
	} {
		var text bytes.Buffer
		if err := parsed.ExecuteTemplate(&text, name, values); err != nil {
			return err
		}
		if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
			return err
		}
	}
	return nil
}
