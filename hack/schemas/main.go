// Command schemas writes JSON schemas for kubeconform: the built-in kinds from the OpenAPI
// document in the Kubernetes source, and our own kinds from their CRDs. The schemas are stricter
// than an API server: the server drops an unknown field, but here it is an error.
//
//	schemas --openapi swagger.json --crds config/crd/bases --out DIR
//
// kubeconform finds them with -schema-location
// 'DIR/{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json'.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

func main() {
	openapi := flag.String("openapi", "", "the swagger.json of Kubernetes")
	crds := flag.String("crds", "config/crd/bases", "the directory of the CRDs")
	out := flag.String("out", "", "the directory to write to")
	flag.Parse()
	if err := run(*openapi, *crds, *out); err != nil {
		fmt.Fprintf(os.Stderr, "schemas: %v\n", err)
		os.Exit(1)
	}
}

func run(openapi, crds, out string) error {
	if openapi == "" || out == "" {
		return errors.New("say --openapi and --out")
	}
	var document struct {
		Definitions definitions `json:"definitions"`
	}
	text, err := os.ReadFile(openapi)
	if err == nil {
		err = json.Unmarshal(text, &document)
	}
	if err != nil {
		return fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	known := document.Definitions
	for name, definition := range known {
		makeStrict(definition)
		if name == quantity {
			definition["type"] = []any{"string", "number"}
		}
	}
	files := known.schemas()
	if err := addOurs(files, known, crds); err != nil {
		return err
	}
	for file, schema := range files {
		if err := write(filepath.Join(out, file), schema); err != nil {
			return err
		}
	}
	return nil
}

// addOurs adds the schemas of the CRDs in a directory.
func addOurs(files map[string]object, known definitions, crds string) error {
	found, err := filepath.Glob(filepath.Join(crds, "*.yaml"))
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("%s has no CRDs", crds)
	}
	for _, file := range found {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, version := range crd.Spec.Versions {
			schema, err := ownSchema(version.Schema.OpenAPIV3Schema, known)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			files[fileOf(crd.Spec.Group, version.Name, crd.Spec.Names.Kind)] = schema
		}
	}
	return nil
}

// fileOf returns the path where kubeconform looks for a kind. For the core group, the directory
// has the name of the version.
func fileOf(group, version, kind string) string {
	if group == "" {
		group = version
	}
	return filepath.Join(group, strings.ToLower(kind)+"_"+version+".json")
}

func write(file string, schema object) error {
	text, err := json.Marshal(schema)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
