package trigger

import (
	"slices"
	"strings"
	"unicode"
)

const (
	// maxUsers is how many users a request names.
	maxUsers = 4
	// maxUser is the longest part of a user's name that is kept, in bytes.
	maxUser = (maxLabelValue - len(andOthers)) / maxUsers
	// andOthers follows the names if there are more.
	andOthers = " and others"
)

// users has who made the changes of a window: the first [maxUsers] names in order, so that the
// same changes in any order name the same users.
type users struct {
	names []string // sorted
	more  bool
}

func (u *users) add(name string) {
	if name == "" {
		return
	}
	name = label(name)
	i, known := slices.BinarySearch(u.names, name)
	switch {
	case known:
		return
	case len(u.names) == maxUsers:
		u.more = true
		if i == maxUsers {
			return
		}
		u.names = u.names[:maxUsers-1]
	}
	u.names = slices.Insert(u.names, i, name)
}

// label returns a name as a part of a label.
func label(name string) string {
	name = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || c == ',' {
			return '_'
		}
		return c
	}, name)
	const separator = len(", ")
	return strings.ToValidUTF8(name[:min(len(name), maxUser-separator)], "")
}

func (u *users) String() string {
	text := strings.Join(u.names, ", ")
	if u.more {
		text += andOthers
	}
	return text
}
