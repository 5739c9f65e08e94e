package systemtest

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"backhaul/cmd/internal/programtest"
)

// The first page is short enough to be read, and fits a terminal.
func TestReadme_isShort(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(programtest.InRepository(t, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if words := len(strings.Fields(string(readme))); words > 900 {
		t.Errorf("the README has %d words, 900 are allowed: move details to deploy/ or schemas/README.md", words)
	}
	for line := range strings.Lines(string(readme)) {
		if width := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); width > 100 {
			t.Errorf("%d columns, 100 are allowed: %s", width, line)
		}
	}
}

// Links between the documents lead to files that exist.
func TestDocuments_linksLeadToFiles(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`)
	n := 0
	for _, file := range trackedFiles(t) {
		if filepath.Ext(file) != ".md" {
			continue
		}
		text, err := os.ReadFile(programtest.InRepository(t, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			n++
			if _, err := os.Stat(programtest.InRepository(t, filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	if n < 50 {
		t.Errorf("%d links were checked, want at least 50", n)
	}
}

var namedTest = regexp.MustCompile(`\b(Test[A-Z]\w+)(?:/([\w,]+))?`)

// Package docs and documents name the tests that prove what they say; a test that
// was renamed must not leave a promise without its proof.
func TestDocumentsNameTests(t *testing.T) {
	var tests strings.Builder
	documents := make(map[string]string)
	for _, file := range trackedFiles(t) {
		isTest := strings.HasSuffix(file, "_test.go")
		if !isTest && path.Base(file) != "doc.go" && path.Ext(file) != ".md" {
			continue
		}
		data, err := os.ReadFile(programtest.InRepository(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if isTest {
			tests.Write(data)
		} else {
			documents[file] = string(data)
		}
	}
	named := 0
	for file, text := range documents {
		for _, m := range namedTest.FindAllStringSubmatch(text, -1) {
			name, row := m[1], strings.ReplaceAll(m[2], "_", " ")
			if name == "TestEvent" { // of AWS S3
				continue
			}
			named++
			if !strings.Contains(tests.String(), "func "+name+"(") {
				t.Errorf("%s: there is no %s", file, name)
			}
			if row != "" && !strings.Contains(tests.String(), `"`+row) {
				t.Errorf("%s: %s has no row %q", file, name, row)
			}
		}
	}
	if named < 50 {
		t.Errorf("%d tests are named", named)
	}
}
