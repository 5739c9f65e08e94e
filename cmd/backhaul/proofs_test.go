package main

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

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
		data, err := os.ReadFile(filepath.Join("..", "..", file))
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
