package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// sources returns the files of the program in this directory.
func sources(t *testing.T, pattern string) (*token.FileSet, map[string]*ast.File) {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	set, files := token.NewFileSet(), make(map[string]*ast.File)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = file
	}
	if len(files) == 0 {
		t.Fatalf("no files %s", pattern)
	}
	return set, files
}

// unbound returns what a call does with a flag by its name: a misspelt one compiles, and
// reads as "" or false.
func unbound(call *ast.CallExpr) (method string, is bool) {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return "", false
	}
	method = selector.Sel.Name
	if _, ofFlags := reflect.TypeFor[*pflag.FlagSet]().MethodByName(method); !ofFlags {
		return "", false
	}
	literal, ok := call.Args[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING { // of a table, which has it once
		return "", false
	}
	reads := strings.HasPrefix(method, "Get") || method == "Changed" || method == "Lookup" || method == "MarkHidden"
	defines := len(call.Args) >= 3 // name, perhaps a shorthand, default, usage
	return method, reads || defines
}

// Every flag is bound to a variable when it is defined.
func TestFlags_areBound(t *testing.T) {
	t.Parallel()
	set, files := sources(t, "*.go")
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if method, is := unbound(call); is {
					t.Errorf("%s: %s with the name of a flag; bind it with its %sVar, or use flagOf", set.Position(call.Pos()), method, strings.TrimPrefix(method, "Get"))
				}
			}
			return true
		})
	}
	for source, want := range map[string]bool{
		`flags.GetString("x")`: true, `cmd.Flags().Changed("x")`: true, `flags.BoolP("x", "y", false, "usage")`: true,
		`flags.StringVar(&x, "x", "", "usage")`: false, `t.row("x", "y")`: false, `flags.Set("x", "y")`: false, `flags.String(f.name, "", f.usage)`: false,
	} {
		expression, err := parser.ParseExpr(source)
		if err != nil {
			t.Fatal(err)
		}
		if _, is := unbound(expression.(*ast.CallExpr)); is != want {
			t.Errorf("%s: %t, want %t", source, is, want)
		}
	}
}

// The list in cli.go has every function that commands share, and names nothing else.
func TestHelpers_areListed(t *testing.T) {
	t.Parallel()
	set, files := sources(t, "*.go")
	var list string
	for _, group := range files["cli.go"].Comments {
		if text := group.Text(); strings.HasPrefix(text, "What the commands share") {
			list = text
		}
	}
	word := regexp.MustCompile(`\b[A-Za-z]+\b`)
	used := make(map[string]bool) // by the commands
	for name, file := range files {
		if !strings.HasPrefix(name, "cli") {
			ast.Inspect(file, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok {
					used[id.Name] = true
				}
				return true
			})
		}
	}
	defined, shared := make(map[string]bool), 0
	for name, file := range files {
		for _, d := range file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				defined[d.Name.Name] = true
				if d.Recv != nil || !strings.HasPrefix(name, "cli") || !used[d.Name.Name] {
					continue
				}
				if shared++; !slices.Contains(word.FindAllString(list, -1), d.Name.Name) {
					t.Errorf("%s: the list in cli.go does not have %s", set.Position(d.Pos()), d.Name.Name)
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					switch s := s.(type) {
					case *ast.TypeSpec:
						defined[s.Name.Name] = true
					case *ast.ValueSpec:
						defined[s.Names[0].Name] = true
					}
				}
			}
		}
	}
	if shared < 20 {
		t.Errorf("only %d functions are shared", shared)
	}
	for _, name := range regexp.MustCompile(`\b[a-z]+[A-Z][A-Za-z]*\b`).FindAllString(list, -1) {
		if !defined[name] {
			t.Errorf("the list in cli.go has %s, which does not exist", name)
		}
	}
}
