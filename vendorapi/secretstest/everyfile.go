package secretstest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// EveryFile fails the test unless every test file with tests in the current directory
// calls [NotShown], directly or through functions of the package's tests.
func EveryFile(t testing.TB) {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	calls := make(map[string]map[string]bool) // function -> what it calls
	tests := make(map[string][]string)        // file -> its tests
	for _, name := range files {
		source, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if f.Recv == nil && (strings.HasPrefix(f.Name.Name, "Test") && f.Name.Name != "TestMain" || strings.HasPrefix(f.Name.Name, "Fuzz")) {
				tests[name] = append(tests[name], f.Name.Name)
			}
			if calls[f.Name.Name] == nil {
				calls[f.Name.Name] = make(map[string]bool)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.SelectorExpr: // a method, or a function of a package
					calls[f.Name.Name][n.Sel.Name] = true
				case *ast.Ident: // called, or passed as a value to be called
					calls[f.Name.Name][n.Name] = true
				}
				return true
			})
		}
	}
	for name, list := range tests {
		if !reaches(calls, list, "NotShown") {
			t.Errorf("%s: its tests do not check for secrets; call secretstest.NotShown or a helper that does", name)
		}
	}
}

// reaches reports whether one of the functions calls the target, directly or indirectly.
func reaches(calls map[string]map[string]bool, from []string, target string) bool {
	seen := make(map[string]bool)
	for len(from) > 0 {
		name := from[0]
		from = from[1:]
		if name == target {
			return true
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		for called := range calls[name] {
			from = append(from, called)
		}
	}
	return false
}
