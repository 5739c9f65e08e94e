package schemas

import (
	"slices"
	"strings"
)

// Names is a set of known names in which [Names.Nearest] looks for the one that was
// probably meant. It is prepared once and read-only afterwards.
type Names struct {
	names []string
	plain []string // the same without what people write differently
}

// NewNames prepares names. Of two that are equally near, the first counts.
func NewNames(names []string) Names {
	n := Names{names: names, plain: make([]string, len(names))}
	for i, name := range names {
		n.plain[i] = plainName(name)
	}
	return n
}

// has reports whether a name is known, but for what people write differently.
func (n Names) has(name string) bool { return slices.Contains(n.plain, plainName(name)) }

// Nearest returns the known name that was probably meant by a name, "" if none is
// near. Upper and lower case, hyphens and underscores make no difference. The search
// is short, however long the name is.
func (n Names) Nearest(name string) string {
	name = plainName(name)
	best, distance := "", len(name)/5+2 // one slip in a short name, more in a long one
	for i, other := range n.plain {
		if len(other)-len(name) >= distance || len(name)-len(other) >= distance {
			continue // that many edits at least
		}
		if d := edits(name, other); d < distance {
			best, distance = n.names[i], d
		}
	}
	return best
}

// Nearest is [Names.Nearest] for names that are asked about once.
func Nearest(name string, known []string) string { return NewNames(known).Nearest(name) }

var withoutHyphens = strings.NewReplacer("-", "", "_", "")

// plainName returns a name without what people write differently.
func plainName(name string) string { return withoutHyphens.Replace(strings.ToLower(name)) }

// edits is the distance of two texts in bytes: how many are to be put in, taken
// out, replaced, or exchanged with their neighbour.
func edits(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row[0] = i + 1
		for j := range len(b) {
			cost := last[j]
			if a[i] != b[j] {
				cost++
			}
			row[j+1] = min(cost, row[j]+1, last[j+1]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
