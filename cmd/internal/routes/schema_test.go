package routes

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

var update = flag.Bool("update", false, "write deploy/routes.schema.json again")

func inDeploy(name string) string { return filepath.Join("..", "..", "..", "deploy", name) }

func TestSchemaIsCurrent(t *testing.T) {
	file := inDeploy("routes.schema.json")
	if *update {
		if err := os.WriteFile(file, Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if data, err := os.ReadFile(file); err != nil || !bytes.Equal(data, Schema()) {
		t.Errorf("%s is not current, %v: run `make docs`", file, err)
	}
}

// unseen are the problems that a schema cannot find: of YAML, of routes together, of placeholders,
// names, schedules and limits of times.
var unseen = map[string]bool{
	"a bad label":      true,
	"a bad source":     true,
	"a brace":          true,
	"a fixed member":   true,
	"a folder":         true,
	"a folder, alone":  true,
	"a key twice":      true,
	"a label's brace":  true,
	"a merge":          true,
	"a place's brace":  true,
	"a placeholder":    true,
	"a size beyond":    true,
	"a star first":     true,
	"dark, for ever":   true,
	"dark, here":       true,
	"dark, schedule":   true,
	"dark, shared":     true,
	"dark, too short":  true,
	"dark, two":        true,
	"dark, zone":       true,
	"directive, full":  true,
	"names":            true,
	"no YAML":          true,
	"no quiet time":    true,
	"our label":        true,
	"short interval":   true,
	"sizes backwards":  true,
	"directive, line":  true,
	"directive, up":    true,
	"two days":         true,
	"two directives":   true,
	"two levels":       true,
	"two prefixes":     true,
	"two rules":        true,
	"two templates":    true,
	"two windows":      true,
	"window backwards": true,
}

// The schema accepts what the reader accepts, and refuses what it can of the rest.
func TestSchema_agreesWithParse(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("routes.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("routes.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		var value any
		if err := yaml.Unmarshal([]byte(text), &value); err != nil {
			return nil // not even YAML
		}
		return schema.Validate(value)
	}
	example, err := os.ReadFile(inDeploy("routes.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{string(example), "routes:\n- {container: a" + to("g"), "routes: [{container: a, ignore: true}]", "routes:\n- {container: a, minSize: 5, maxSize: 10 MiB, ignore: false" + to("g")} {
		if err := valid(good); err != nil {
			t.Errorf("the schema refuses\n%s\n%v", good, err)
		}
		parse(t, good)
	}
	for name, c := range problems {
		if err := valid(c.text); (err == nil) != unseen[name] {
			t.Errorf("%s: the schema says %v of\n%s", name, err, c.text)
		}
	}
}
