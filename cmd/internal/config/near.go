package config

import "strings"

// nearest is the name that is most like another, "" if none is near enough to be
// meant.
func nearest(name string, known []string) string {
	name = plain(name)
	best, distance := "", len(name)/5+2 // one slip in a short name, more in a long one
	for _, candidate := range known {
		other := plain(candidate)
		if len(other)-len(name) >= distance || len(name)-len(other) >= distance {
			continue
		}
		if d := edits(name, other); d < distance {
			best, distance = candidate, d
		}
	}
	return best
}

// plain is a name without what people write differently.
func plain(name string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(name))
}

// edits is how many letters have to be added, removed or replaced to make one
// text of the other.
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
