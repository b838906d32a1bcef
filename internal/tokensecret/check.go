package tokensecret

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"

	"github.com/pipes-operator/pipes-operator/api/v1alpha1"
)

// check rejects everything that could run for long, recurse or reach more than the values. It
// allows only text, if, with, fields, variables, constants and calls of our own functions.
func check(entry *template.Template, method v1alpha1.AuthMethod) error {
	if len(entry.Templates()) > 1 {
		return errors.New("define and block are not allowed")
	}
	if entry.Tree == nil || entry.Root == nil {
		return nil
	}
	if method == "" {
		method = v1alpha1.AuthMethodOAuth
	}
	return checker{method}.node(entry.Root)
}

// checker checks a template for one method.
type checker struct{ method v1alpha1.AuthMethod }

func (c checker) node(node parse.Node) error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return c.all(n.Nodes)
	case *parse.ActionNode:
		return c.node(n.Pipe)
	case *parse.IfNode:
		return c.branch(&n.BranchNode)
	case *parse.WithNode:
		return c.branch(&n.BranchNode)
	case *parse.PipeNode:
		return eachNode(c, n.Cmds)
	case *parse.CommandNode:
		return c.all(n.Args)
	case *parse.ChainNode:
		if err := c.node(n.Node); err != nil {
			return err
		}
		return c.field(n.Field)
	case *parse.IdentifierNode:
		if _, ok := functions[n.Ident]; !ok {
			return fmt.Errorf("function %q is not allowed; there are %s",
				n.Ident, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
		}
		return nil
	case *parse.FieldNode:
		return c.field(n.Ident)
	case *parse.VariableNode:
		if len(n.Ident) == 1 {
			return nil
		}
		return c.field(n.Ident[1:]) // as in $.Slug
	case *parse.TextNode, *parse.CommentNode, *parse.DotNode,
		*parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return nil
	default:
		return fmt.Errorf("%q is not allowed", node.String())
	}
}

// field returns an error if path is not a field of view that has a value with the method. Nothing
// else in a template has fields. The error of text/template would show users the name of a Go type.
func (c checker) field(path []string) error {
	name, known := "."+strings.Join(path, "."), viewFields[c.method]
	switch {
	case slices.Contains(known, name):
		return nil
	case len(path) == 2 && slices.Contains(known, "."+path[0]) && (path[0] == "Metadata" || path[0] == "Config"):
		return fmt.Errorf("there is no %s; write index .%s %q", name, path[0], path[1])
	default:
		return fmt.Errorf("there is no %s with authMethod %s; there are %s", name, c.method, strings.Join(known, ", "))
	}
}

func (c checker) branch(n *parse.BranchNode) error {
	return c.all([]parse.Node{n.Pipe, n.List, n.ElseList})
}

func (c checker) all(nodes []parse.Node) error { return eachNode(c, nodes) }

func eachNode[N parse.Node](c checker, nodes []N) error {
	for _, node := range nodes {
		if err := c.node(node); err != nil {
			return err
		}
	}
	return nil
}
