package trigger

import (
	"strings"
	"testing"
)

func TestChange_Path(t *testing.T) {
	for key, why := range map[string]string{
		"a":                       "",
		"a b/ö+%20.txt":           "",
		"\u00a0x":                 "space",
		"a\nb":                    "control",
		"a\rb":                    "control",
		"a\x7f":                   "control",
		"a\u0085b":                "control",
		"a\u2028b":                "control",
		"a\u2029b":                "control",
		"a\xff":                   "UTF-8",
		"a ":                      "space",
		"a//b":                    "empty part",
		"/a":                      "empty part",
		"a/":                      "empty part",
		"./a":                     ". or ..",
		"a/../b":                  ". or ..",
		"...":                     "",
		strings.Repeat("x", 4093): "",
		strings.Repeat("x", 4094): "4096",
	} {
		path, got := Change{Kind: KindCreated, Container: "c", Key: key}.Path()
		if (why == "") != (got == "") || !strings.Contains(got, why) || why == "" && path != "/c/"+key {
			t.Errorf("%.50q: %.50q, %q; want %q", key, path, got, why)
		}
	}
	if path, why := (Change{Kind: KindCreated, Container: "c", Key: "a/b/", Tree: true}).Path(); path != "/c/a/b/" || why != "" {
		t.Errorf("a tree: %q, %q", path, why)
	}
	if path, why := (Change{Kind: KindDeleted, Container: "c", Key: "a"}).Path(); path != "" || why == "" {
		t.Errorf("a deletion: %q, %q", path, why)
	}
	for _, container := range []string{"c/d", ".", "..", "c\n", "c\u0085", "c\u2028d", " c", "c\xff"} {
		if path, why := (Change{Kind: KindCreated, Container: container, Key: "a"}).Path(); path != "" || why == "" {
			t.Errorf("the container %q: %q, %q", container, path, why)
		}
	}
}
