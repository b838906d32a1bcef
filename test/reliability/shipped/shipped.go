// Package shipped reads the manifests of config/ with the names and the namespace of
// config/default. The tests run a control plane without nodes, so they need only the roles and
// bindings.
package shipped

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// The names of config/default.
const (
	Namespace      = "pipes-system"
	NamePrefix     = "pipes-operator-"
	ServiceAccount = NamePrefix + "manager"
	// User is the name of the operator's user at the API server.
	User = "system:serviceaccount:" + Namespace + ":" + ServiceAccount
)

// Path is a path in config/, relative to a package two folders below test/.
func Path(path ...string) string {
	return filepath.Join(append([]string{"..", "..", "..", "config"}, path...)...)
}

// Folder returns the objects of all files in a folder of config/. It fails if there are none.
func Folder(name string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(Path(name, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		found, err := File(file)
		if err != nil {
			return nil, err
		}
		objects = append(objects, found...)
	}
	if len(objects) == 0 {
		return nil, fmt.Errorf("there are no objects in config/%s", name)
	}
	return objects, nil
}

// File returns the objects of one file, without Kustomizations.
func File(path string) ([]*unstructured.Unstructured, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", path, err)
		}
		if object.GetKind() != "Kustomization" {
			objects = append(objects, installed(object))
		}
	}
}

// installed gives an object, and the objects that it refers to, the names of config/default.
func installed(object *unstructured.Unstructured) *unstructured.Unstructured {
	object.SetName(NamePrefix + object.GetName())
	if object.GetNamespace() != "" {
		object.SetNamespace(Namespace)
	}
	if role, ok := object.Object["roleRef"].(map[string]any); ok {
		role["name"] = NamePrefix + role["name"].(string)
	}
	if subjects, ok := object.Object["subjects"].([]any); ok {
		for _, subject := range subjects {
			subject := subject.(map[string]any)
			subject["name"], subject["namespace"] = NamePrefix+subject["name"].(string), Namespace
		}
	}
	return object
}
