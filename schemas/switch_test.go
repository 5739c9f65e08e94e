package schemas_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"backhaul/schemas"
)

// A switch that names one kind of event names all of them and has no default, in the
// whole module: a new kind is decided about in each place, and none is taken for
// another. Kinds that need nothing share an empty case. A case of JobEvent stands for the
// kinds that are about one job, and a switch over a JobEvent names those.
func TestSwitchesNameEveryKind(t *testing.T) {
	var types, perJob []string // such as JobStarted, whose kind is KindJobStarted
	for _, kind := range schemas.Kinds {
		e, err := schemas.DecodeEvent(kind, []byte(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		name := reflect.TypeOf(e).Elem().Name()
		types = append(types, name)
		if kind.PerJob() {
			perJob = append(perJob, name)
		}
	}
	ofRequest := func(name string) bool { return !slices.Contains(perJob, name) }
	found := 0
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var body *ast.BlockStmt
			switch n := n.(type) {
			case *ast.TypeSwitchStmt:
				body = n.Body
			case *ast.SwitchStmt:
				body = n.Body
			default:
				return true
			}
			named, hasDefault := casesOf(body, file.Name.Name == "schemas")
			if slices.Contains(named, "JobEvent") {
				named = append(named, perJob...)
			}
			named = slices.DeleteFunc(named, func(name string) bool { return !slices.Contains(types, name) })
			wanted := types
			if !slices.ContainsFunc(named, ofRequest) {
				wanted = perJob
			}
			if len(named) == 0 {
				return true
			}
			found++
			for _, name := range wanted {
				if !slices.Contains(named, name) {
					t.Errorf("%s: the switch has no case for %s", files.Position(n.Pos()), name)
				}
			}
			if hasDefault {
				t.Errorf("%s: the switch has a default, which takes any new kind for something", files.Position(n.Pos()))
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 4 {
		t.Errorf("found %d switches over kinds in the module, want at least those of package history", found)
	}
}

// casesOf returns what a switch's cases name of package schemas, without the prefix Kind.
func casesOf(body *ast.BlockStmt, inside bool) (names []string, hasDefault bool) {
	for _, statement := range body.List {
		clause := statement.(*ast.CaseClause)
		if clause.List == nil {
			hasDefault = true
		}
		for _, value := range clause.List {
			if star, ok := value.(*ast.StarExpr); ok {
				value = star.X
			}
			switch value := value.(type) {
			case *ast.SelectorExpr:
				if from, ok := value.X.(*ast.Ident); ok && from.Name == "schemas" {
					names = append(names, strings.TrimPrefix(value.Sel.Name, "Kind"))
				}
			case *ast.Ident:
				if inside {
					names = append(names, strings.TrimPrefix(value.Name, "Kind"))
				}
			}
		}
	}
	return names, hasDefault
}
