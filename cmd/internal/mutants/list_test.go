package mutants

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// List holds the mutants of one area.
type List struct {
	Area     string
	Packages []string // packages whose tests must find them, as for go test
	Mutants  []Mutant
}

// Mutant is one change of one file.
type Mutant struct {
	Name     string
	File     string // relative to the module
	Old, New []string
	Tests    string // regular expression of the tests that find it, "" for all
	// Equivalent states why no test can find it. If set, the mutant is not run.
	Equivalent string
}

// ReadList reads the list of an area.
func ReadList(path string) (List, error) {
	list := List{Area: strings.TrimSuffix(filepath.Base(path), ".txt")}
	file, err := os.Open(path)
	if err != nil {
		return list, err
	}
	defer func() { _ = file.Close() }()
	names := make(map[string]bool)
	scanner := bufio.NewScanner(file)
	for number := 1; scanner.Scan(); number++ {
		if err := list.add(scanner.Text()); err != nil {
			return list, fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	for _, m := range list.Mutants {
		switch {
		case m.File == "" || len(m.Old) == 0:
			return list, fmt.Errorf("%s: mutant %q needs a file (@) and an old text (-)", path, m.Name)
		case names[m.Name]:
			return list, fmt.Errorf("%s: two mutants have the name %q", path, m.Name)
		}
		names[m.Name] = true
	}
	return list, scanner.Err()
}

func (l *List) add(line string) error {
	if line == "" || strings.HasPrefix(line, "#") {
		return nil
	}
	sign, text, _ := strings.Cut(line, " ")
	if sign == "package" {
		l.Packages = append(l.Packages, text)
		return nil
	}
	if sign == "==" {
		l.Mutants = append(l.Mutants, Mutant{Name: text})
		return nil
	}
	if len(l.Mutants) == 0 {
		return fmt.Errorf("%q is before the first mutant (==)", line)
	}
	m := &l.Mutants[len(l.Mutants)-1]
	switch sign {
	case "@":
		m.File = text
	case "-":
		m.Old = append(m.Old, text)
	case "+":
		m.New = append(m.New, text)
	case "?":
		m.Tests = text
	case "=":
		m.Equivalent = text
	default:
		return fmt.Errorf("%q must begin with one of == @ - + ? =", line)
	}
	return nil
}

// Package returns the package of the mutant, as a list names it.
func (m Mutant) Package() string { return "./" + filepath.ToSlash(filepath.Dir(m.File)) }

// Apply returns the file's content with the mutant in it.
func (m Mutant) Apply(content string) (string, error) {
	if len(m.Old) == 1 {
		if n := strings.Count(content, m.Old[0]); n != 1 {
			return "", fmt.Errorf("mutant %q: %q occurs %d times in %s, want once", m.Name, m.Old[0], n, m.File)
		}
		return strings.Replace(content, m.Old[0], strings.Join(m.New, "\n"), 1), nil
	}
	lines := strings.Split(content, "\n")
	found := -1
	for i := 0; i+len(m.Old) <= len(lines); i++ {
		if !sameLines(lines[i:i+len(m.Old)], m.Old) {
			continue
		}
		if found >= 0 {
			return "", fmt.Errorf("mutant %q: its old text occurs more than once in %s", m.Name, m.File)
		}
		found = i
	}
	if found < 0 {
		return "", fmt.Errorf("mutant %q: its old text is not in %s", m.Name, m.File)
	}
	mutated := append(append(append([]string(nil), lines[:found]...), m.New...), lines[found+len(m.Old):]...)
	return strings.Join(mutated, "\n"), nil
}

func sameLines(lines, old []string) bool {
	for i := range old {
		if strings.TrimSpace(lines[i]) != strings.TrimSpace(old[i]) {
			return false
		}
	}
	return true
}
