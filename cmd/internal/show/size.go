package show

import "fmt"

// Size returns a number of bytes for people: 1.5 MiB.
func Size(n uint64) string {
	const kibi = 1024
	if n < kibi {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/kibi, 0
	for value >= kibi && unit < 3 {
		value /= kibi
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[unit])
}
