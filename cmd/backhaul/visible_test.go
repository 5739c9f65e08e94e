package main

import "testing"

func TestVisible(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Größe 9 „x“":                  "Größe 9 „x“",
		"a\x1b[31mb\u009bc\r":          "a\uFFFD[31mb\uFFFDc\uFFFD",
		"a\u202eb\u2066c\u2028d\u200f": "a\uFFFDb\uFFFDc\uFFFDd\uFFFD",
	} {
		if got := visible(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
