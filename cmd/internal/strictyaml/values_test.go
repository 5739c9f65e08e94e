package strictyaml_test

import (
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
)

// read calls one of the Reader's methods with a value, and returns the problem.
func read(t *testing.T, r *strictyaml.Reader, text string, call func(n *yaml.Node)) string {
	t.Helper()
	r.Mapping(r.Document([]byte("k: "+text+"\n"), limit, "k"), "a file", nil, func(_ string, value *yaml.Node) { call(value) })
	if err := r.Err("file", "f"); err != nil {
		return err.Error()
	}
	return ""
}

func TestReader_ReadsValues(t *testing.T) {
	t.Parallel()
	type result struct {
		text   string
		yes    bool
		number int
		wait   time.Duration
	}
	for _, test := range []struct {
		kind, value string
		want        result
		says        string
	}{
		{"text", "x", result{text: "x"}, ""},
		{"text", `"7"`, result{text: "7"}, ""},
		{"text", "7", result{}, `f:1: v must be a string; put "7" into quotes`},
		{"text", `""`, result{}, "f:1: v is empty; leave it out"},
		{"text", "", result{}, "f:1: v must be a string, here is nothing"},
		{"text", "[x]", result{}, "f:1: v must be a string, here is a list"},
		{"any", `""`, result{yes: true}, ""},
		{"any", "true", result{}, `put "true" into quotes`},
		{"bool", "True", result{yes: true}, ""},
		{"bool", "false", result{}, ""},
		{"bool", `"true"`, result{}, `f:1: v must be true or false, here is "true"`},
		{"int", "1", result{number: 1}, ""},
		{"int", "9", result{number: 9}, ""},
		{"int", "0", result{}, `f:1: v must be a whole number from 1 to 9, here is "0"`},
		{"int", "10", result{}, "from 1 to 9"},
		{"int", `"5"`, result{}, "from 1 to 9"},
		{"int", "1.5", result{}, "from 1 to 9"},
		{"int", "{}", result{}, "here is a mapping"},
		{"wait", "1s", result{wait: time.Second}, ""},
		{"wait", "1m", result{wait: time.Minute}, ""},
		{"wait", "999ms", result{}, `f:1: v must be a duration such as 30s, from 1s to 1m0s, here is "999ms"`},
		{"wait", "61s", result{}, "from 1s to 1m0s"},
		{"wait", "5", result{}, `here is "5"`},
	} {
		var got result
		r := &strictyaml.Reader{}
		says := read(t, r, test.value, func(n *yaml.Node) {
			switch test.kind {
			case "text":
				got.text = r.Text(n, "v")
			case "any":
				got.text, got.yes = r.AnyText(n, "v")
			case "bool":
				got.yes = r.Bool(n, "v")
			case "int":
				got.number = r.Int(n, "v", 1, 9)
			case "wait":
				got.wait = r.Duration(n, "v", time.Second, time.Minute)
			}
		})
		if got != test.want || (says == "") != (test.says == "") || !strings.Contains(says, test.says) {
			t.Errorf("%s %s: got %+v, %q, want %+v, %q", test.kind, test.value, got, says, test.want, test.says)
		}
	}
}

// Problems of a Secretive Reader have no value of the file.
func TestReader_KeepsValuesSecret(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*strictyaml.Reader, *yaml.Node){
		"Text":     func(r *strictyaml.Reader, n *yaml.Node) { r.Text(n, "v") },
		"Bool":     func(r *strictyaml.Reader, n *yaml.Node) { r.Bool(n, "v") },
		"Int":      func(r *strictyaml.Reader, n *yaml.Node) { r.Int(n, "v", 1, 9) },
		"Duration": func(r *strictyaml.Reader, n *yaml.Node) { r.Duration(n, "v", time.Second, time.Minute) },
	} {
		r := &strictyaml.Reader{Secretive: true}
		if says := read(t, r, "4711", func(n *yaml.Node) { call(r, n) }); says == "" || strings.Contains(says, "4711") {
			t.Errorf("%s: got %q", name, says)
		}
	}
}
