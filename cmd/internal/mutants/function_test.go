package mutants

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"strings"
)

// source is a file, divided into its functions and the text outside them.
type source struct {
	pkg       string
	functions map[string]function // by receiver and name
	outside   string
}

// function is one declaration of a file. Offsets count from its beginning.
type function struct {
	decl *ast.FuncDecl
	text string
	at   int // offset of the declaration in the file
	name int // offset of the name
	body int // offset behind the brace that opens the body
}

func parse(content string) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, "", content, parser.SkipObjectResolution)
	if err != nil {
		return source{}, err
	}
	offset := func(p token.Pos) int { return fset.Position(p).Offset }
	s := source{pkg: file.Name.Name, functions: make(map[string]function)}
	end := 0
	for _, d := range file.Decls {
		decl, ok := d.(*ast.FuncDecl)
		if !ok || decl.Body == nil {
			continue
		}
		at := offset(decl.Pos())
		f := function{decl: decl, text: content[at:offset(decl.End())], at: at}
		f.name, f.body = offset(decl.Name.Pos())-at, offset(decl.Body.Lbrace)-at+1
		key := decl.Name.Name
		if decl.Recv != nil {
			t := decl.Recv.List[0].Type
			key = content[offset(t.Pos()):offset(t.End())] + "." + key
		}
		s.functions[key] = f
		s.outside += content[end:at]
		end = at + len(f.text)
	}
	s.outside += content[end:]
	return s, nil
}

// onlyChange returns the key of the one function that differs between two versions of a
// file. It reports false if more than its body differs.
func onlyChange(before, after source) (string, bool) {
	changed := ""
	for key, f := range before.functions {
		g, ok := after.functions[key]
		switch {
		case ok && f.text == g.text:
			continue
		case !ok || changed != "" || f.text[:f.body] != g.text[:g.body]:
			return "", false
		}
		changed = key
	}
	return changed, changed != "" && before.outside == after.outside
}

// variantName is the name of the function that has the mutant of this number in it.
func (f function) variantName(number int) string {
	return fmt.Sprintf("%s__mutant%d", f.decl.Name.Name, number)
}

// variant returns the function under the name of its variant.
func (f function) variant(number int) string {
	return f.text[:f.name] + f.variantName(number) + f.text[f.name+len(f.decl.Name.Name):]
}

// call returns statements that call the variant of a function from its own body. It
// reports false for a function that cannot pass its parameters on or that would behave
// differently: init is called by name, and recover works in a deferred function only.
func (f function) call(number int) (string, bool) {
	if f.decl.Name.Name == "init" || callsRecover(f.decl.Body) {
		return "", false
	}
	var arguments []string
	for _, field := range f.decl.Type.Params.List {
		names, ok := namesOf(field)
		if !ok {
			return "", false
		}
		if _, variadic := field.Type.(*ast.Ellipsis); variadic {
			names[0] += "..."
		}
		arguments = append(arguments, names...)
	}
	called, ok := f.variantName(number)+f.typeArguments(), true
	if f.decl.Recv != nil {
		var receiver []string
		if receiver, ok = namesOf(f.decl.Recv.List[0]); ok {
			called = receiver[0] + "." + called
		}
	}
	called += "(" + strings.Join(arguments, ", ") + ")"
	if f.decl.Type.Results == nil {
		return called + "\nreturn", ok
	}
	return "return " + called, ok
}

func (f function) typeArguments() string {
	if f.decl.Type.TypeParams == nil {
		return ""
	}
	var all []string
	for _, field := range f.decl.Type.TypeParams.List {
		names, _ := namesOf(field)
		all = append(all, names...)
	}
	return "[" + strings.Join(all, ", ") + "]"
}

// namesOf returns the names of a field, and false if it has a part without one.
func namesOf(field *ast.Field) ([]string, bool) {
	var names []string
	for _, n := range field.Names {
		names = append(names, n.Name)
		if n.Name == "_" {
			return nil, false
		}
	}
	return names, len(names) > 0
}

func callsRecover(body *ast.BlockStmt) bool {
	found := false
	ast.Inspect(body, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "recover" {
			found = true
		}
		return !found
	})
	return found
}
