package show_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"backhaul/cmd/internal/show"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                             "",
		"Größe 9 „x“ 日本 e\u0301":       "Größe 9 „x“ 日本 e\u0301",
		"a\x1b[31mb\u009bc\r":          "a\uFFFD[31mb\uFFFDc\uFFFD",
		"a\u202eb\u2066c\u2028d\u200f": "a\uFFFDb\uFFFDc\uFFFDd\uFFFD",
		"a\nb\x7f":                     "a\uFFFDb\uFFFD",
		"inv-7\u200b":                  `inv-7\u200b`,
		"a\u2060b\ufeffc\u00add\ufe0f": `a\u2060b\ufeffc\u00add\ufe0f`,
		"a\U000e0041\u3164":            `a\udb40\udc41\u3164`,
		"not UTF-8 \x9b":               "not UTF-8 \uFFFD",
	} {
		if got := show.Line(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	if got := show.Cell(strings.Repeat("ä", 1000)); len(got) > show.MaxCell+10 || !strings.HasSuffix(got, "ä…") {
		t.Errorf("a long cell: %d bytes, %q", len(got), got[len(got)-10:])
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	if got := show.Lines("\na\tb\r\n\x1bc", 100); got != "\na    b\n\uFFFDc" {
		t.Errorf("got %q", got)
	}
	long := strings.Repeat("line\n", 1000)
	if got := show.Lines(long, 100); len(got) > 150 || !strings.HasSuffix(got, "… cut, of 5000 bytes") {
		t.Errorf("%d bytes: %q", len(got), got)
	}
}

// awkward contains characters that must be escaped, and characters that must not.
const awkward = "a\u009b\u0085\x7f\u202e\u2066\u200b\ufeff\u00ad\u2028\ufe0f\U000e0041 ä日😀\\\"\n\t\x1b\x00"

// hidden contains the characters of awkward that must not be in any output.
const hidden = "\u009b\u0085\x7f\u202e\u2066\u200b\ufeff\u00ad\u2028\ufe0f\U000e0041\x1b\x00"

func TestEscape_KeepsTheValue(t *testing.T) {
	t.Parallel()
	document, err := json.Marshal(map[string]string{awkward: awkward})
	if err != nil {
		t.Fatal(err)
	}
	escaped := show.Escape(document)
	var got map[string]string
	if err := json.Unmarshal(escaped, &got); err != nil || got[awkward] != awkward {
		t.Errorf("%s is %q, %v", escaped, got, err)
	}
	if strings.ContainsAny(string(escaped), hidden) || !strings.Contains(string(escaped), "ä日😀") {
		t.Errorf("got %q", escaped)
	}
}

// The output is the same for any division of a text into writes.
func TestWriter_SplitWrites(t *testing.T) {
	t.Parallel()
	text := awkward + "\nplain\n"
	want, _ := escapedWhole(t, text)
	for size := 1; size < 8; size++ {
		var b bytes.Buffer
		w := show.NewWriter(&b)
		for rest := []byte(text); len(rest) > 0; {
			n := min(size, len(rest))
			if got, err := w.Write(rest[:n]); got != n || err != nil {
				t.Fatalf("wrote %d, %v", got, err)
			}
			rest = rest[n:]
		}
		if b.String() != want {
			t.Errorf("by %d bytes: got %q, want %q", size, b.String(), want)
		}
	}
	if strings.ContainsAny(want, hidden) {
		t.Errorf("got %q", want)
	}
}

func escapedWhole(t *testing.T, text string) (string, *show.Writer) {
	t.Helper()
	var b bytes.Buffer
	w := show.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return b.String(), w
}

func TestWriter_Control(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := show.NewWriter(show.NewWriter(&b)) // returns the inner writer
	if err := w.Control("\x1b[H"); err != nil || b.String() != "\x1b[H" {
		t.Errorf("%q, %v", b.String(), err)
	}
	if int(w.Fd()) != -1 {
		t.Errorf("a buffer has the descriptor %d", w.Fd())
	}
}

func TestJSON(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"a":[1,2,{}],"b":{"c":null},"a":[]}`: "{\n  \"a\": [\n    1,\n    2,\n    {}\n  ],\n  \"b\": {\n    \"c\": null\n  },\n  \"a\": []\n}",
		`1e400`:                                `1e400`,
		`"\u202e` + "\u202e" + `"`:             `"\u202e\u202e"`,
		`not JSON` + "\x1b":                    "not JSON\uFFFD",
		`{"a":1} {}`:                           `{"a":1} {}`,
		`{"a":`:                                `{"a":`,
		"":                                     "",
	} {
		if got := show.JSON([]byte(text)); got != want {
			t.Errorf("%q: got\n%s\nwant\n%s", text, got, want)
		}
	}
	deep := strings.Repeat(`{"a":[`, 20) + strings.Repeat(`]}`, 20)
	if got := show.JSON([]byte(deep)); !strings.Contains(got, "{…}") || strings.Contains(got, strings.Repeat("  ", show.MaxDepth+1)) {
		t.Errorf("deep: %s", got)
	}
}

// 20 KB of deeply nested JSON once became hundreds of megabytes because every level was
// indented. The test is not parallel: it measures the process's allocations.
func TestJSON_IsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"deep arrays":          strings.Repeat("[", 9_999) + strings.Repeat("]", 9_999),
		"deep objects":         strings.Repeat(`{"a":`, 9_999) + "1" + strings.Repeat("}", 9_999),
		"too deep":             strings.Repeat("[", 1<<20),
		"deep and wide":        "[" + strings.TrimSuffix(strings.Repeat(strings.Repeat("[", 20)+strings.Repeat("]", 20)+",", 20_000), ",") + "]",
		"many small":           "[" + strings.TrimSuffix(strings.Repeat("1,", 500_000), ",") + "]",
		"one long string":      `"` + strings.Repeat("é", 500_000) + `"`,
		"one that is escaped":  `"` + strings.Repeat("\u200b", 300_000) + `"`,
		"one long name":        `{"` + strings.Repeat("é", 500_000) + `":1}`,
		"not JSON":             strings.Repeat("x\n", 500_000),
		"not JSON, not UTF-8":  strings.Repeat("\xff", 1_000_000),
		"escapes at the limit": `"` + strings.Repeat("x", show.MaxJSON-3) + "\u200b\u200b" + `"`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got := show.JSON([]byte(text))
		runtime.ReadMemStats(&after)
		if len(got) > show.MaxJSON+100 || !utf8.ValidString(got) {
			t.Errorf("%s: %d bytes, UTF-8 %v", name, len(got), utf8.ValidString(got))
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > uint64(8<<20+3*len(text)) {
			t.Errorf("%s: %d bytes allocated for %d", name, allocated, len(text))
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,"\u200b"]}`, "[[[", "\xff\x9b", `"` + "\u202e" + `"`, strings.Repeat("[", 60)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := show.JSON(data)
		if len(got) > show.MaxJSON+100 || strings.ContainsAny(got, hidden) || !utf8.ValidString(got) {
			t.Errorf("%q", got)
		}
		var b bytes.Buffer
		fmt.Fprintf(show.NewWriter(&b), "%s\n", data)
		if strings.ContainsAny(b.String(), hidden) {
			t.Errorf("%q is written as %q", data, b.String())
		}
		var want, value any
		if json.Unmarshal(data, &want) != nil || !utf8.Valid(data) {
			return
		}
		var line bytes.Buffer // without a carriage return between values
		if err := json.Compact(&line, data); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(show.Escape(line.Bytes()), &value); err != nil {
			t.Fatalf("%q is escaped as %q: %v", data, show.Escape(line.Bytes()), err)
		}
		a, _ := json.Marshal(want)
		c, _ := json.Marshal(value)
		if !bytes.Equal(a, c) {
			t.Errorf("%s became %s", a, c)
		}
	})
}
