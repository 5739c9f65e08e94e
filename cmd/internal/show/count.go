package show

import "fmt"

// Count returns a number of things in words: "1 request", "2 requests".
func Count[N int | int64 | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
