package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// swagger is an OpenAPI document with a kind whose type refers to itself.
const swagger = `{"definitions": {
	"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {"type": "object", "properties": {"name": {"type": "string"}}},
	"io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
	"io.k8s.Port": {"type": "string", "format": "int-or-string", "description": "prose"},
	"io.k8s.Tree": {
		"x-kubernetes-group-version-kind": [{"group": "", "version": "v1", "kind": "Tree"}, ` +
	`{"group": "old", "version": "v1", "kind": "Tree"}],
		"properties": {
			"port": {"$ref": "#/definitions/io.k8s.Port"},
			"size": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.api.resource.Quantity"},
			"labels": {"type": "object", "additionalProperties": {"type": "string"}},
			"anything": {"type": "object"},
			"children": {"type": "array", "items": {"$ref": "#/definitions/io.k8s.Tree"}}
		}
	}
}}`

func TestSchemasRefuseWhatTheyDoNotName(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	openapi := filepath.Join(in, "swagger.json")
	if err := os.WriteFile(openapi, []byte(swagger), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(openapi, filepath.Join("..", "..", "config", "crd", "bases"), out); err != nil {
		t.Fatal(err)
	}

	tree := load(t, filepath.Join(out, "v1", "tree_v1.json"))
	if !reflect.DeepEqual(tree, load(t, filepath.Join(out, "old", "tree_v1.json"))) {
		t.Error("a kind of two groups has two schemas")
	}
	for path, want := range map[string]any{
		"$ref": "#/definitions/io.k8s.Tree",
		"definitions/io.k8s.Tree/additionalProperties":                            false,
		"definitions/io.k8s.Tree/properties/labels/additionalProperties/type":     "string",
		"definitions/io.k8s.Tree/properties/anything/additionalProperties":        nil,
		"definitions/io.k8s.Port/type":                                            []any{"string", "integer"},
		"definitions/io.k8s.Port/description":                                     nil,
		"definitions/io.k8s.apimachinery.pkg.api.resource.Quantity/type":          []any{"string", "number"},
		"definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta/description": nil,
	} {
		if got := at(tree, path); !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}

	token := load(t, filepath.Join(out, "pipes.workos.com", "pipestoken_v1alpha1.json"))
	for path, want := range map[string]any{
		"additionalProperties":                                                           false,
		"properties/spec/additionalProperties":                                           false,
		"properties/metadata/$ref":                                                       "#/definitions/" + objectMeta,
		"definitions/" + objectMeta + "/additionalProperties":                            false,
		"properties/spec/properties/secretTemplate/properties/data/additionalProperties": nil,
	} {
		got := at(token, path)
		if want == nil {
			if _, typed := got.(object); !typed {
				t.Errorf("%s is %v, want the schema of a value", path, got)
			}
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
}

func load(t *testing.T, file string) object {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	schema := object{}
	if err := json.Unmarshal(text, &schema); err != nil {
		t.Fatal(err)
	}
	return schema
}

// at returns the value at a path of names, or nil.
func at(schema object, path string) any {
	var value any = schema
	for name := range strings.SplitSeq(path, "/") {
		o, _ := value.(object)
		value = o[name]
	}
	return value
}
