package validate

import (
	"runtime"
	"strings"
	"testing"
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The memory for a document grows with its size, not with its size times its depth or the
// length of its names. The test is not parallel: it measures the process's allocations.
func TestValidator_BoundsItsMemory(t *testing.T) {
	for name, text := range map[string]string{
		"deep arrays":  `{"x":` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `}`,
		"deep objects": `{"x":` + strings.Repeat(`{"abcdefgh":`, 9_000) + "1" + strings.Repeat("}", 9_000) + `}`,
		"a long name":  `{"` + strings.Repeat("x", 50_000) + `":[` + strings.Repeat("1,", 5_000) + `1]}`,
		"many lines":   strings.Repeat(good+"\n", 5_000),
	} {
		got := allocated(func() { verdicts(t, "", text) })
		if limit := uint64(200*len(text) + 1<<20); got > limit {
			t.Errorf("%s: %d bytes for a text of %d", name, got, len(text))
		}
	}
}

func TestLocate(t *testing.T) {
	t.Parallel()
	document := []byte("{\"a\":\n{\"b/c\":[1,\n2,{\"d\":3}]},\n\"a\":9,\n\"e\":{}}")
	problems := []Problem{{Pointer: ""}, {Pointer: "/a"}, {Pointer: "/a/b~1c"}, {Pointer: "/a/b~1c/1"}, {Pointer: "/a/b~1c/2/d"}, {Pointer: "/a/b~1c/7"}, {Pointer: "/e"}, {Pointer: "/e/f/g"}, {Pointer: "/h"}}
	locate(problems, document, 10)
	want := []int{10, 10, 11, 12, 12, 11, 14, 14, 10}
	for i, p := range problems {
		if p.Line != want[i] {
			t.Errorf("%q is in line %d, want %d", p.Pointer, p.Line, want[i])
		}
	}
}

// Each line begins a document without an end. Each of them was once read down to the depth
// limit.
func TestValidator_BoundsInvalidJSON(t *testing.T) {
	t.Parallel()
	got := verdicts(t, "", strings.Repeat("{\"abcdefghijkl\":\n", 20_000))
	if len(got) > 2000 || !strings.Contains(got[len(got)-1], "what follows is not read") {
		t.Errorf("%d documents; the last is %q", len(got), got[len(got)-1])
	}
}
