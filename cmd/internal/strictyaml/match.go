package strictyaml

import "strings"

// MatchName reports whether a name matches a pattern of a file. The character * of a pattern
// matches any number of any characters; there is no other pattern, and * cannot be escaped.
// It compares bytes, which is the same as comparing characters: in UTF-8, * is never part of
// another character.
func MatchName(pattern, name string) bool {
	first, rest, hasStar := strings.Cut(pattern, "*")
	if !hasStar {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, more, hasStar := strings.Cut(rest, "*")
		if !hasStar {
			return strings.HasSuffix(name, part)
		}
		// The first match suffices: the next * can skip the rest.
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], more
	}
}
