package policy

import (
	"fmt"
	"strings"
)

// matchPath reports whether a path is at or below a listed prefix.
func matchPath(listed, path string) bool {
	switch {
	case listed == "*":
		return true
	case listed == "" || path == "":
		return listed == path
	case pathFault(path) != "":
		return false
	}
	prefix := strings.TrimSuffix(listed, "/")
	rest, ok := strings.CutPrefix(path, prefix)
	return ok && (rest == "" || rest[0] == '/')
}

// pathFault returns why a system might open another path than the text says, or "" if
// the path is safe. A safe path is absolute, has no empty segment and no segment of
// dots and spaces only, and has no character that some system treats as a separator
// or ignores. Object storage has keys such as a//b, so the contract allows them, but
// the system that opens the path may be a file system of any kind.
func pathFault(path string) string {
	if path == "" || path[0] != '/' {
		return "is not absolute"
	}
	if strings.ContainsRune(path, '\\') {
		return `has a \, which some systems take for a /`
	}
	if strings.ContainsFunc(path, func(c rune) bool { return c < 0x20 || c == 0x7f }) {
		return "has control characters"
	}
	if path == "/" {
		return "names no file"
	}
	for segment := range strings.SplitSeq(path[1:], "/") {
		switch {
		case segment == "":
			return "has an empty segment (// or a / at its end)"
		case strings.Trim(segment, ". ") == "":
			return fmt.Sprintf("has the segment %q", segment)
		}
	}
	return ""
}

// prefixFault returns what is wrong with a listed prefix, or "" if it is valid.
func prefixFault(prefix string) string {
	switch {
	case prefix == "" || prefix == "*" || prefix == "/":
		return ""
	case strings.ContainsRune(prefix, '*'):
		return "has a *: paths are prefixes, not patterns; * alone allows any path and none"
	}
	return pathFault(strings.TrimSuffix(prefix, "/"))
}
