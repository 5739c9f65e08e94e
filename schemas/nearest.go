package schemas

import "strings"

// Nearest is the one of the known names that was probably meant by a name, ""
// if none is near. Upper and lower case, hyphens and underscores are no
// difference. However long the name is, the search is short.
func Nearest(name string, known []string) string {
	name = plainName(name)
	best, distance := "", len(name)/5+2 // one slip in a short name, more in a long one
	for _, candidate := range known {
		other := plainName(candidate)
		if len(other)-len(name) >= distance || len(name)-len(other) >= distance {
			continue // that many edits at least
		}
		if d := edits(name, other); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// plainName is a name without what people write differently.
func plainName(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

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
