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

// edits is the Levenshtein distance of two texts in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
