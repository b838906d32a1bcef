package harness

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

// Root returns the root of the repository, as seen from a package or from the root itself.
func Root() string {
	root := "."
	for range 5 {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			return root
		}
		root = filepath.Join("..", root)
	}
	panic("the working directory is outside of the repository")
}

// config is a path in config/.
func config(path ...string) string {
	return filepath.Join(append([]string{Root(), "config"}, path...)...)
}

// folder returns the objects of all files in a folder of config/, with the names and the namespace
// of config/default. It fails if there are none.
func folder(name string) ([]*unstructured.Unstructured, error) {
	files, err := filepath.Glob(config(name, "*.yaml"))
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	for _, file := range files {
		found, err := readFile(file)
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

// readFile returns the objects of one file, without Kustomizations.
func readFile(path string) ([]*unstructured.Unstructured, error) {
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
