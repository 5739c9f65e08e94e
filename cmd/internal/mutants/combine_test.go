package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// environment names the variable that has the number of the mutant to run.
const environment = "MUTANT"

// switchFile is added to each package that has mutants.
const switchFile = `package %s

import (
	"os"
	"strconv"
)

var mutant__ = func() int { n, _ := strconv.Atoi(os.Getenv(%q)); return n }()
`

// combined is the source of an area with many mutants in it. Each mutated function begins
// with a switch over the number of the mutant and calls a variant of itself.
type combined struct {
	root  string
	files map[string]*combinedFile
	// baseline is a number that no mutant has. It selects a variant of each mutated function
	// that has no mutant in it.
	baseline int
}

type combinedFile struct {
	pkg      string
	content  string
	cases    map[int]string // by offset in content
	variants []string
}

// read returns a file of the module.
func (c *combined) read(name string) (string, error) {
	if f := c.files[name]; f != nil {
		return f.content, nil
	}
	content, err := os.ReadFile(filepath.Join(c.root, name))
	return string(content), err
}

// add puts a mutant into the source. It reports false if the mutant cannot be switched and
// needs a build of its own.
func (c *combined) add(number int, m Mutant) (bool, error) {
	content, err := c.read(m.File)
	if err != nil {
		return false, err
	}
	mutated, err := m.Apply(content)
	if err != nil {
		return false, err
	}
	before, err := parse(content)
	if err != nil {
		return false, err
	}
	after, err := parse(mutated)
	if err != nil {
		return false, fmt.Errorf("mutant %q: %w", m.Name, err)
	}
	key, ok := onlyChange(before, after)
	if !ok {
		return false, nil
	}
	f, changed := before.functions[key], after.functions[key]
	if _, ok := f.call(number); !ok || callsRecover(changed.decl.Body) {
		return false, nil
	}
	file := c.files[m.File]
	if file == nil {
		file = &combinedFile{pkg: before.pkg, content: content, cases: make(map[int]string)}
		c.files[m.File] = file
	}
	if file.cases[f.at+f.body] == "" {
		file.add(c.baseline, f, f)
	}
	file.add(number, f, changed)
	return true, nil
}

// add makes a function call its variant for this number.
func (f *combinedFile) add(number int, original, variant function) {
	call, _ := original.call(number)
	f.cases[original.at+original.body] += fmt.Sprintf("case %d:\n%s\n", number, call)
	f.variants = append(f.variants, fmt.Sprintf("//line mutant-%d.go:1\n%s\n", number, variant.variant(number)))
}

// source returns the file with its mutants.
func (f *combinedFile) source() string {
	content := f.content
	var offsets []int
	for at := range f.cases {
		offsets = append(offsets, at)
	}
	slices.Sort(offsets)
	for _, at := range slices.Backward(offsets) {
		content = content[:at] + "\nswitch mutant__ {\n" + f.cases[at] + "}\n" + content[at:]
	}
	return content + "\n" + strings.Join(f.variants, "\n")
}

// sources returns the text of all files that differ from the module's, by name.
func (c *combined) sources() map[string]string {
	all := make(map[string]string)
	for name, f := range c.files {
		all[name] = f.source()
		all[filepath.Join(filepath.Dir(name), "zz_mutants.go")] = fmt.Sprintf(switchFile, f.pkg, environment)
	}
	return all
}
