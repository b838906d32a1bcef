package tokensecret

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// check rejects everything that could run for long, recurse or reach more than the values. It
// allows only text, if, with, fields, variables, constants and calls of our own functions.
func check(entry *template.Template) error {
	if len(entry.Templates()) > 1 {
		return errors.New("define and block are not allowed")
	}
	if entry.Tree == nil || entry.Root == nil {
		return nil
	}
	return checkNode(entry.Root)
}

func checkNode(node parse.Node) error {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return nil
		}
		return checkAll(n.Nodes)
	case *parse.ActionNode:
		return checkNode(n.Pipe)
	case *parse.IfNode:
		return checkBranch(&n.BranchNode)
	case *parse.WithNode:
		return checkBranch(&n.BranchNode)
	case *parse.PipeNode:
		return checkAll(n.Cmds)
	case *parse.CommandNode:
		return checkAll(n.Args)
	case *parse.ChainNode:
		if err := checkNode(n.Node); err != nil {
			return err
		}
		return checkField(n.Field)
	case *parse.IdentifierNode:
		if _, ok := functions[n.Ident]; !ok {
			return fmt.Errorf("function %q is not allowed; there are %s",
				n.Ident, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
		}
		return nil
	case *parse.FieldNode:
		return checkField(n.Ident)
	case *parse.VariableNode:
		if len(n.Ident) == 1 {
			return nil
		}
		return checkField(n.Ident[1:]) // as in $.Slug
	case *parse.TextNode, *parse.CommentNode, *parse.DotNode,
		*parse.StringNode, *parse.NumberNode, *parse.BoolNode, *parse.NilNode:
		return nil
	default:
		return fmt.Errorf("%q is not allowed", node.String())
	}
}

// checkField returns an error if path is not a field of view. Nothing else in a template has
// fields. The error of text/template would show users the name of a Go type.
func checkField(path []string) error {
	if name := "." + strings.Join(path, "."); !slices.Contains(fields, name) {
		return fmt.Errorf("there is no %s; there are %s", name, strings.Join(fields, ", "))
	}
	return nil
}

func checkBranch(n *parse.BranchNode) error {
	return checkAll([]parse.Node{n.Pipe, n.List, n.ElseList})
}

func checkAll[N parse.Node](nodes []N) error {
	for _, node := range nodes {
		if err := checkNode(node); err != nil {
			return err
		}
	}
	return nil
}
