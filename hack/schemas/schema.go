package main

import (
	"encoding/json"
	"maps"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
)

// object is a JSON object.
type object = map[string]any

// definitions are the types of an OpenAPI document, by name.
type definitions map[string]object

const (
	draft      = "http://json-schema.org/draft-07/schema#"
	toName     = "#/definitions/"
	objectMeta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
	// quantity is documented as a string, but may also be a number.
	quantity = "io.k8s.apimachinery.pkg.api.resource.Quantity"
)

// schemas returns the schemas of all kinds, by file name.
func (d definitions) schemas() map[string]object {
	files := map[string]object{}
	for name, definition := range d {
		kinds, _ := definition["x-kubernetes-group-version-kind"].([]any)
		for _, kind := range kinds {
			of, _ := kind.(object)
			group, _ := of["group"].(string)
			version, _ := of["version"].(string)
			kind, _ := of["kind"].(string)
			files[fileOf(group, version, kind)] = d.standalone(object{"$ref": toName + name})
		}
	}
	return files
}

// standalone returns the schema together with all definitions that it refers to, so that each
// file is self-contained.
func (d definitions) standalone(schema object) object {
	reached := definitions{}
	d.collect(schema, reached)
	whole := maps.Clone(schema)
	whole["$schema"], whole["definitions"] = draft, reached
	return whole
}

// collect adds all definitions that node refers to, directly or indirectly. It handles types
// that refer to themselves.
func (d definitions) collect(node any, reached definitions) {
	switch n := node.(type) {
	case object:
		if ref, ok := n["$ref"].(string); ok {
			name := strings.TrimPrefix(ref, toName)
			if _, known := reached[name]; !known {
				reached[name] = d[name]
				d.collect(d[name], reached)
			}
		}
		for _, child := range n {
			d.collect(child, reached)
		}
	case []any:
		for _, child := range n {
			d.collect(child, reached)
		}
	}
}

// makeStrict forbids unknown fields in every schema that lists properties. It expresses
// int-or-string as a JSON schema, and removes the descriptions.
func makeStrict(schema object) {
	delete(schema, "description")
	if schema["format"] == "int-or-string" || isSet(schema, "x-kubernetes-int-or-string") {
		delete(schema, "anyOf")
		schema["type"] = []any{"string", "integer"}
	}
	properties, named := schema["properties"].(object)
	if _, open := schema["additionalProperties"]; named && !open &&
		!isSet(schema, "x-kubernetes-preserve-unknown-fields") {
		schema["additionalProperties"] = false
	}
	for _, property := range properties {
		if p, ok := property.(object); ok {
			makeStrict(p)
		}
	}
	for _, of := range []string{"items", "additionalProperties"} {
		if child, ok := schema[of].(object); ok {
			makeStrict(child)
		}
	}
}

func isSet(schema object, extension string) bool {
	value, _ := schema[extension].(bool)
	return value
}

// ownSchema returns the schema of a CRD, with the schema of ObjectMeta for its metadata.
func ownSchema(published *apiextensionsv1.JSONSchemaProps, known definitions) (object, error) {
	text, err := json.Marshal(published)
	if err != nil {
		return nil, err
	}
	schema := object{}
	if err := json.Unmarshal(text, &schema); err != nil {
		return nil, err
	}
	makeStrict(schema)
	schema["properties"].(object)["metadata"] = object{"$ref": toName + objectMeta}
	return known.standalone(schema), nil
}
