// Package serverurl reads URLs of servers as users write them: without a scheme, several in
// one text with commas, and sometimes with a password, which [Mask] hides.
package serverurl

import (
	"net/url"
	"strings"
)

// Mask returns a list of URLs without their users, passwords, tokens and queries.
func Mask(urls string) string {
	list := strings.Split(urls, ",")
	for i, raw := range list {
		list[i] = MaskOne(strings.TrimSpace(raw))
	}
	return strings.Join(list, ",")
}

// MaskOne returns one URL without its user, query and fragment. A fragment that is a
// path stays: the Command Center's pages have one.
func MaskOne(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := parse(raw)
	if err != nil {
		return "(not a URL)"
	}
	raw, fragment, hasFragment := strings.Cut(raw, "#")
	raw, _, hasQuery := strings.Cut(raw, "?")
	if u.User != nil {
		scheme, rest := "", raw
		if before, after, ok := strings.Cut(raw, "://"); ok {
			scheme, rest = before+"://", after
		}
		authority, path, hasPath := strings.Cut(rest, "/")
		raw = scheme + "xxxxx" + authority[strings.LastIndexByte(authority, '@'):]
		if hasPath {
			raw += "/" + path
		}
	}
	if hasQuery {
		raw += "?xxxxx"
	}
	switch {
	case hasFragment && strings.HasPrefix(fragment, "/"):
		raw += "#" + fragment
	case hasFragment:
		raw += "#xxxxx"
	}
	return raw
}

// parse parses a URL that may lack its scheme, as the nats command takes it.
func parse(raw string) (*url.URL, error) {
	raw = strings.TrimSpace(raw)
	if !strings.Contains(raw, "://") {
		raw = "nats://" + raw
	}
	return url.Parse(raw)
}

// Valid reports whether a text can be a server's URL.
func Valid(raw string) bool {
	u, err := parse(raw)
	return err == nil && u.Hostname() != ""
}

// HasUser reports whether one of the URLs may have a user, password or token in it.
func HasUser(urls string) bool {
	for raw := range strings.SplitSeq(urls, ",") {
		if u, err := parse(raw); err != nil && strings.Contains(raw, "@") || err == nil && u.User != nil {
			return true
		}
	}
	return false
}
