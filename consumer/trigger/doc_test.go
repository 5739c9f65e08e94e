package trigger

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tables of the package doc name the tests that prove them.
func TestDocNamesTests(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(data)
	}
	named := regexp.MustCompile(`\bTest[A-Z]\w+(/[\w,]+)?`).FindAllString(string(doc), -1)
	if len(named) < 15 {
		t.Fatalf("the doc names %d tests", len(named))
	}
	for _, name := range named {
		if name == "TestEvent" { // the event of AWS S3
			continue
		}
		top, sub, hasSub := strings.Cut(name, "/")
		if !strings.Contains(tests.String(), "func "+top+"(") {
			t.Errorf("there is no %s", top)
		}
		if row := strings.ReplaceAll(sub, "_", " "); hasSub && !strings.Contains(tests.String(), `"`+row+`":`) {
			t.Errorf("%s has no row %q", top, row)
		}
	}
}
