package policy

import (
	"fmt"
	"strings"
)

// matchName tells whether a name is what a list's text stands for. Bytes are
// compared; as * is no part of a character in UTF-8, that compares characters.
func matchName(listed, name string) bool {
	first, rest, hasStar := strings.Cut(listed, "*")
	if !hasStar {
		return listed == name
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
		// The first place is as good as any: what follows may skip the rest.
		at := strings.Index(name, part)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(part):], more
	}
}

// matchPath tells whether a path is at or below a listed prefix.
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

// pathFault says why a path may lead elsewhere than its text, "" if it does not:
// it must be absolute, every segment must name something, and there must be no
// character that some system takes for a separator or for none at all. Object
// storage knows keys such as a//b, so the contract lets them through; but whoever
// opens the path may be a file system, of any kind.
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

// prefixFault says what is wrong with a listed prefix.
func prefixFault(prefix string) string {
	switch {
	case prefix == "" || prefix == "*" || prefix == "/":
		return ""
	case strings.ContainsRune(prefix, '*'):
		return "has a *: paths are prefixes, not patterns; * alone stands for any path and for none"
	}
	return pathFault(strings.TrimSuffix(prefix, "/"))
}
