package secret

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"backhaul/vendorapi/secretstest"
)

// utf16Text is a text as Windows PowerShell writes it.
func utf16Text(order binary.AppendByteOrder, text string) string {
	var data []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		data = order.AppendUint16(data, unit)
	}
	return string(data)
}

func TestSourceRead_encodings(t *testing.T) {
	t.Parallel()
	const value = "geheim-ü7f"
	for name, c := range map[string]struct{ text, want string }{
		"UTF-8":                     {value + "\r\n", value},
		"UTF-8 with a mark":         {"\ufeff" + value + "\r\n", value},
		"a mark within":             {"a\ufeffb", "a\ufeffb"},
		"Latin-1":                   {"geheim-\xfc7f", "geheim-\xfc7f"},
		"nothing but a mark":        {"\ufeff\n", "empty"},
		"UTF-16 LE":                 {utf16Text(binary.LittleEndian, "\ufeff"+value), "save it as UTF-8"},
		"UTF-16 BE":                 {utf16Text(binary.BigEndian, "\ufeff"+value), "save it as UTF-8"},
		"UTF-16 LE without a mark":  {utf16Text(binary.LittleEndian, value), "save it as UTF-8"},
		"UTF-16 BE without a mark":  {utf16Text(binary.BigEndian, value), "save it as UTF-8"},
		"UTF-32, which has a mark":  {"\xff\xfe\x00\x00g\x00\x00\x00", "save it as UTF-8"},
		"UTF-16 of foreign letters": {utf16Text(binary.LittleEndian, "\ufeff\u4e2d\u6587"), "save it as UTF-8"},
	} {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := InFile(file).Read()
		if err != nil {
			if got != "" || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("%s: %v, want %q and the file's name", name, err, c.want)
			}
			secretstest.NotShown(t, []string{value, "geheim"}, err)
		} else if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}
