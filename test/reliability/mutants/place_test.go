//go:build reliability

package mutants_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// place is code that a guard matches.
type place struct {
	file string
	text string
	// holes are the code of the guard, and of each _ in it.
	holes []span
}

// span is a part of a file.
type span struct{ from, to token.Pos }

// in returns the text of the span. The positions of a file that is parsed alone begin at 1.
func (s span) in(text string) string { return text[s.from-1 : s.to-1] }

// apply returns the file that has the guard, and its text with the guard broken. It fails the test
// unless the guard stands exactly once in the function, or if the text is not Go any more.
func (m mutant) apply(t *testing.T, root string) (file, mutated string) {
	t.Helper()
	pattern := parseGuard(t, m.guard)
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(m.at), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var places []place
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			places = append(places, find(t, file, m.in, pattern)...)
		}
	}
	if len(places) != 1 {
		t.Fatalf("%s of %s has the guard %d times, and not once: %s", m.in, m.at, len(places), m.guard)
	}
	found := places[0]
	broken := regexp.MustCompile(`\$\d`).ReplaceAllStringFunc(m.broken, func(hole string) string {
		return found.holes[hole[1]-'0'].in(found.text)
	})
	guard := found.holes[0]
	mutated = found.text[:guard.from-1] + broken + found.text[guard.to-1:]
	if _, err := parser.ParseFile(token.NewFileSet(), found.file, mutated, 0); err != nil || mutated == found.text {
		t.Fatalf("%q is not another program: %v", broken, err)
	}
	return found.file, mutated
}

// find returns the places in a function or variable of a file that match a guard.
func find(t *testing.T, file, in string, guard ast.Node) (places []place) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, declared := range declarations(parsed, in) {
		ast.Inspect(declared, func(node ast.Node) bool {
			if node == nil {
				return false
			}
			holes := []span{{node.Pos(), node.End()}}
			if matches(reflect.ValueOf(guard), reflect.ValueOf(node), &holes) {
				places = append(places, place{file, string(text), holes})
			}
			return true
		})
	}
	return places
}

// declarations returns the functions, methods and variables of that name.
func declarations(file *ast.File, name string) (found []ast.Node) {
	for _, declared := range file.Decls {
		switch declared := declared.(type) {
		case *ast.FuncDecl:
			if declared.Name.Name == name {
				found = append(found, declared)
			}
		case *ast.GenDecl:
			for _, spec := range declared.Specs {
				if values, ok := spec.(*ast.ValueSpec); ok && values.Names[0].Name == name {
					found = append(found, spec)
				}
			}
		}
	}
	return found
}

// parseGuard parses an expression, an element of a composite literal, or a statement.
func parseGuard(t *testing.T, guard string) ast.Node {
	t.Helper()
	if expression, err := parser.ParseExpr(guard); err == nil {
		return expression
	}
	if literal, err := parser.ParseExpr("x{" + guard + "}"); err == nil {
		return literal.(*ast.CompositeLit).Elts[0]
	}
	function, err := parser.ParseExpr("func() { " + guard + " }")
	if err != nil {
		t.Fatalf("%s: %v", guard, err)
	}
	return function.(*ast.FuncLit).Body.List[0]
}

// matches reports whether code has the form of a guard, wherever it stands. It adds the code of
// each _ to holes.
func matches(guard, code reflect.Value, holes *[]span) bool {
	switch {
	case !guard.IsValid() || !code.IsValid():
		return guard.IsValid() == code.IsValid()
	case guard.Kind() == reflect.Interface:
		return matches(guard.Elem(), code.Elem(), holes)
	case isHole(guard):
		node := code.Interface().(ast.Node)
		*holes = append(*holes, span{node.Pos(), node.End()})
		return true
	case guard.Type() != code.Type():
		return false
	}
	switch guard.Type().String() {
	case "token.Pos", "*ast.Object": // where the code is, and what its names stand for
		return true
	}
	switch guard.Kind() {
	case reflect.Pointer:
		return matches(guard.Elem(), code.Elem(), holes)
	case reflect.Struct:
		for i := range guard.NumField() {
			if !matches(guard.Field(i), code.Field(i), holes) {
				return false
			}
		}
		return true
	case reflect.Slice:
		return matchesList(guard, code, holes)
	default:
		return guard.Interface() == code.Interface()
	}
}

// matchesList compares lists. A _ at the end of the guard matches the rest of the code.
func matchesList(guard, code reflect.Value, holes *[]span) bool {
	for i := range guard.Len() {
		switch last := code.Len() - 1; {
		case i > last:
			return false
		case i == guard.Len()-1 && isHole(guard.Index(i)):
			*holes = append(*holes, span{code.Index(i).Interface().(ast.Node).Pos(), code.Index(last).Interface().(ast.Node).End()})
			return true
		case !matches(guard.Index(i), code.Index(i), holes):
			return false
		}
	}
	return guard.Len() == code.Len()
}

// isHole reports whether a part of a guard is _, which matches any code.
func isHole(guard reflect.Value) bool {
	switch node := guard.Interface().(type) {
	case *ast.Ident:
		return node != nil && node.Name == "_"
	case *ast.ExprStmt:
		return node != nil && isHole(reflect.ValueOf(node.X))
	default:
		return false
	}
}
