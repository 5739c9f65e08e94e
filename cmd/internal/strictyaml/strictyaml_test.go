package strictyaml_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"backhaul/cmd/internal/strictyaml"
)

const limit = 1000

// pets reads the names of pets in the way that a caller of the package does.
func pets(text string, aliases bool) (names []string, err error) {
	r := &strictyaml.Reader{Words: map[string]string{"animal": "pets"}, Aliases: aliases}
	root := r.Document([]byte(text), limit, "pets")
	if root == nil {
		return nil, r.Err("zoo", "z.yaml")
	}
	whole := r.Mapping(root, "a zoo", []string{"pets", "others"}, func(key string, value *yaml.Node) {
		r.Sequence(value, key, "names", func(item *yaml.Node) {
			if item.Kind != yaml.ScalarNode {
				r.Problem(item.Line, "a name is %s", r.Describe(item))
			}
			names = append(names, fmt.Sprintf("%s %d", item.Value, value.Line))
		})
	})
	if whole && names == nil {
		r.Problem(root.Line, "has no pets")
	}
	return names, r.Err("zoo", "z.yaml")
}

func TestReader_ReportsProblems(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		says []string
	}{
		"nothing":         {"# nothing\n", []string{"z.yaml:1: is empty; it must have the key pets"}},
		"null":            {"~\n", []string{"z.yaml:1: is empty"}},
		"not YAML":        {"pets: [\n", []string{"z.yaml:1: is not valid YAML: did not find"}},
		"not UTF-8":       {"pets: \"\xff\"\n", []string{"z.yaml: is not valid YAML"}},
		"two documents":   {"pets: [a]\n---\npets: [b]\n", []string{"z.yaml:2: has more than one document"}},
		"broken after it": {"pets: [a]\n---\npets: [\n", []string{"is not valid YAML"}},
		"too large":       {strings.Repeat("#", limit+1), []string{"z.yaml: has more than 1000 bytes"}},
		"a list":          {"- a\n", []string{"z.yaml:1: a zoo must be a mapping, here is a list"}},
		"not a list":      {"pets:\n  a: b\n", []string{"z.yaml:1: pets must be a list of names; here is a mapping", "z.yaml:1: has no pets"}},
		"a number":        {"1: [a]\n", []string{`z.yaml:1: a zoo: the key "1" is not a string; put it into quotes`}},
		"misspelt":        {"petz: [a]\n", []string{`z.yaml:1: a zoo has no key "petz"; did you mean pets?`}},
		"another word":    {"Animals: [a]\n", []string{"did you mean pets?"}},
		"far from all":    {"zebra: [a]\n", []string{`z.yaml:1: a zoo has no key "zebra"`}},
		"twice":           {"pets: [a]\npets: [b]\n", []string{`z.yaml:2: the key "pets" is given twice, first in line 1`}},
		"merge":           {"pets: [a]\n<<: {others: [b]}\n", []string{"z.yaml:2: a zoo: merge keys are not supported"}},
		"alias":           {"pets: &p [a]\nothers: *p\n", []string{"z.yaml:2: others must be a list of names; here is an alias"}},
		"whole":           {"pets: []\n", []string{"z.yaml:1: has no pets"}},
		"all, in order":   {"others: [[]]\n2: x\npets: x\n", []string{"z.yaml:1: a name is a list", "z.yaml:2: a zoo", `z.yaml:3: pets must be a list of names; here is "x"`}},
	} {
		_, err := pets(test.text, false)
		e, ok := errors.AsType[*strictyaml.Error](err)
		if !ok {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		each := e.Each()
		if len(each) != len(test.says) {
			t.Errorf("%s: got %q", name, each)
			continue
		}
		for i, want := range test.says {
			if !strings.HasPrefix(each[i], "zoo: z.yaml:") || !strings.Contains(each[i], want) || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %q of %v, want %q", name, each[i], err, want)
			}
		}
	}
}

// The value of an alias has the line of the alias.
func TestReader_ResolvesAliases(t *testing.T) {
	t.Parallel()
	names, err := pets("pets: &p\n- a\n- b\nothers: *p\n", true)
	if want := []string{"a 1", "b 1", "a 4", "b 4"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v", names, err)
	}
}

func TestReader_BoundsItsProblems(t *testing.T) {
	t.Parallel()
	_, err := pets("pets:\n"+strings.Repeat("- {}\n", 100), false)
	e, ok := errors.AsType[*strictyaml.Error](err)
	if !ok || len(e.Problems) != strictyaml.MaxProblems+1 || !strings.HasSuffix(err.Error(), "z.yaml: and more") {
		t.Errorf("got %v", err)
	}
}

func TestQuoted(t *testing.T) {
	t.Parallel()
	if got := strictyaml.Quoted("a\n" + strings.Repeat("ä", 100)); len(got) > 110 || !strings.HasPrefix(got, `"a\nää`) || !strings.HasSuffix(got, `ä"…`) {
		t.Errorf("got %s", got)
	}
}

// A file of unknown keys costs little more than a file of known ones.
func TestReader_CostsLittleForUnknownKeys(t *testing.T) {
	const keys = 20_000
	var text strings.Builder
	for i := range keys {
		fmt.Fprintf(&text, "k%05d: x\n", i)
	}
	known := []string{"k00001x", "k00002x", "k00003x"}
	read := func(known []string) float64 {
		return testing.AllocsPerRun(1, func() {
			var r strictyaml.Reader
			r.Mapping(r.Document([]byte(text.String()), text.Len(), "k"), "a file", known, func(string, *yaml.Node) {})
			if err := r.Err("file", "f.yaml"); (err == nil) != (known == nil) {
				t.Error(err)
			}
		})
	}
	if each := (read(known) - read(nil)) / keys; each > 4 {
		t.Errorf("an unknown key costs %.1f allocations more than a known one", each)
	}
}

// A small file can repeat any number of values by aliases. The visits are bounded.
func TestReader_BoundsAliases(t *testing.T) {
	text := "first: &p [" + strings.Repeat("x,", 10_000) + "x]\n"
	for i := range 1000 {
		text += fmt.Sprintf("k%d: *p\n", i)
	}
	r := strictyaml.Reader{Aliases: true}
	visited := 0
	r.Mapping(r.Document([]byte(text), len(text), "k"), "a file", nil, func(_ string, value *yaml.Node) {
		r.Sequence(value, "k", "texts", func(*yaml.Node) { visited++ })
	})
	err := r.Err("file", "f.yaml")
	if visited > 5_000_000 || err == nil || !strings.Contains(err.Error(), "counted with aliases") {
		t.Errorf("%d values were visited, error %v", visited, err)
	}
}
