package scope

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Scope names a part of the requests: those that have every name that it gives. At least one is
// not empty.
type Scope struct {
	// Source is the publisher of the requests.
	Source string `json:"source,omitempty"`
	// Client and Group are the vendor's names of client and content group. As at the vendor, upper
	// and lower case are the same.
	Client string `json:"clientName,omitempty"`
	Group  string `json:"subclientName,omitempty"`
}

// Of returns the scope of an operator's event.
func Of(p schemas.ScopePause) Scope {
	return Scope{Source: p.Source, Client: p.ClientName, Group: p.SubclientName}
}

// maxName is the longest name of a client or a content group in bytes.
const maxName = 512

// Check returns an error if no request can be in the scope.
func (s Scope) Check() error {
	if s == (Scope{}) {
		return errors.New("a scope needs a source, a client or a content group")
	}
	if s.Source != "" {
		if err := publisher.CheckSource(s.Source); err != nil {
			return err
		}
	}
	return errors.Join(checkName("client", s.Client), checkName("content group", s.Group))
}

func checkName(what, name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("%s %.40q… has %d bytes, the limit is %d", what, name, len(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) || name != strings.TrimSpace(name):
		return fmt.Errorf("%s %q must be text on one line, without spaces around it", what, name)
	}
	return nil
}

// Has reports whether a request of a source for a content group of a client is in the scope.
func (s Scope) Has(source, client, group string) bool {
	return (s.Source == "" || s.Source == source) && same(s.Client, client) && same(s.Group, group)
}

func same(wanted, name string) bool {
	return wanted == "" || wanted == name || vendorapi.FoldName(wanted) == vendorapi.FoldName(name)
}

// Is reports whether two scopes have the same requests.
func (s Scope) Is(other Scope) bool {
	return s.Source == other.Source && vendorapi.FoldName(s.Client) == vendorapi.FoldName(other.Client) &&
		vendorapi.FoldName(s.Group) == vendorapi.FoldName(other.Group)
}

// Overlaps reports whether a request can be in both scopes.
func (s Scope) Overlaps(other Scope) bool {
	return (s.Source == "" || other.Source == "" || s.Source == other.Source) &&
		(s.Client == "" || same(other.Client, s.Client)) && (s.Group == "" || same(other.Group, s.Group))
}

func (s Scope) String() string {
	var parts []string
	for _, part := range []struct{ what, name string }{{"source", s.Source}, {"client", s.Client}, {"content group", s.Group}} {
		if part.name != "" {
			parts = append(parts, part.what+" "+part.name)
		}
	}
	return strings.Join(parts, ", ")
}
