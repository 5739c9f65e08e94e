package schemas_test

import (
	"strings"
	"testing"

	"backhaul/schemas"
)

func TestEncodeHeader(t *testing.T) {
	for text, want := range map[string]string{
		"":                     "",
		"no eligible 100% \t~": "no eligible 100% \t~",
		"größe 50%":            "UTF-8''gr%C3%B6%C3%9Fe 50%25",
		"gr\xfcn":              "ISO-8859-1''gr%FCn",
		"UTF-8''a":             "UTF-8''UTF-8''a",
		"ISO-8859-1''%41":      "UTF-8''ISO-8859-1''%2541",
		"a\x7f\n":              "UTF-8''a%7F%0A",
	} {
		got := schemas.EncodeHeader(text)
		if got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if back := schemas.DecodeHeader(got); back != text {
			t.Errorf("%q comes back as %q", text, back)
		}
	}
	for _, value := range []string{"plain", "100%", "UTF-8''%", "UTF-8'de'x"} {
		if got := schemas.DecodeHeader(value); got != value {
			t.Errorf("%q is decoded to %q", value, got)
		}
	}
}

func FuzzEncodeHeader(f *testing.F) {
	f.Add("größe")
	f.Add("UTF-8''%41")
	f.Add("\xff%")
	f.Fuzz(func(t *testing.T, text string) {
		value := schemas.EncodeHeader(text)
		if strings.ContainsFunc(value, func(c rune) bool { return c > 0x7e || c < ' ' && c != '\t' }) || schemas.DecodeHeader(value) != text {
			t.Errorf("%q is written as %q and read as %q", text, value, schemas.DecodeHeader(value))
		}
	})
}
