package trigger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"backhaul/schemas"
)

// Placeholders has the names that a template may have in braces.
var Placeholders = []string{placeContainer, placeAccount, placeSystem, placeFolder + "1"}

const (
	placeContainer = "container"
	placeAccount   = "account"
	placeSystem    = "system"
	// placeFolder and a number stand for one folder of the key: the first is 1.
	placeFolder = "prefix:"
	maxFolder   = 16
)

// part is a piece of a template: literal text, or the name of a placeholder.
type part struct{ text, placeholder string }

// errBrace is the error of a brace that is no part of a placeholder.
var errBrace = errors.New("has a single brace; write {{ or }} for a brace itself")

// parts splits a template. {{ and }} stand for braces.
func parts(text string) ([]part, error) {
	var all []part
	literal := strings.Builder{}
	for text != "" {
		i := strings.IndexAny(text, "{}")
		if i < 0 {
			i = len(text)
		}
		literal.WriteString(text[:i])
		if text = text[i:]; text == "" {
			break
		}
		if strings.HasPrefix(text, "{{") || strings.HasPrefix(text, "}}") {
			literal.WriteByte(text[0])
			text = text[2:]
			continue
		}
		name, rest, closed := strings.Cut(text[1:], "}")
		if text[0] == '}' || !closed {
			return nil, errBrace
		}
		if !isPlaceholder(name) {
			return nil, fmt.Errorf("has {%.100s}, which is no placeholder: write {container}, {account}, {system} or {prefix:1} (the first folder of the key), or {{ for a brace itself", name)
		}
		all = append(all, part{text: literal.String()}, part{placeholder: name})
		literal.Reset()
		text = rest
	}
	return append(all, part{text: literal.String()}), nil
}

func isPlaceholder(name string) bool {
	switch name {
	case placeContainer, placeAccount, placeSystem:
		return true
	}
	return folderOf(name) > 0
}

// folderOf returns the number of the folder that a placeholder stands for, or 0.
func folderOf(placeholder string) int {
	digits, ok := strings.CutPrefix(placeholder, placeFolder)
	n, err := strconv.Atoi(digits)
	if !ok || err != nil || n < 1 || n > maxFolder || strconv.Itoa(n) != digits {
		return 0
	}
	return n
}

// CheckTemplate returns an error for a text with a brace that is no part of a placeholder.
func CheckTemplate(text string) error {
	_, err := parts(text)
	return err
}

// Literal returns a text in which no placeholder may be, with {{ and }} replaced by braces.
func Literal(text string) (string, error) {
	all, err := parts(text)
	if err != nil || len(all) > 1 {
		return "", errors.New("has a placeholder or a brace; placeholders may be in the names of the content group, its plan, labels and directive only; write {{ or }} for a brace itself")
	}
	return all[0].text, nil
}

// head returns the text of a template before its first placeholder.
func head(text string) string {
	all, err := parts(text)
	if err != nil {
		return text
	}
	return all[0].text
}

// fill returns a template with its placeholders replaced.
func fill(text string, value func(placeholder string) string) (string, error) {
	if !strings.ContainsAny(text, "{}") {
		return text, nil
	}
	all, err := parts(text)
	if err != nil {
		return "", err
	}
	filled := strings.Builder{}
	for _, p := range all {
		if p.placeholder != "" {
			p.text = value(p.placeholder)
		}
		filled.WriteString(p.text)
	}
	return filled.String(), nil
}

// fill replaces the placeholders of all members that may have some.
func (r *Route) fill(value func(placeholder string) string) error {
	type member struct {
		name string
		text *string
	}
	req := &r.Request
	members := []member{
		{"clientName", &req.ClientName}, {"instanceName", &req.InstanceName}, {"backupsetName", &req.BackupsetName},
		{"subclientName", &req.SubclientName}, {"storagePolicyName", &req.StoragePolicyName},
	}
	if r.Directive != nil {
		d := *r.Directive
		r.Directive = &d
		members = append(members, member{"directive.container", &d.Container}, member{"directive.prefix", &d.Prefix})
	}
	var err error
	for _, m := range members {
		if *m.text, err = fill(*m.text, value); err != nil {
			return fmt.Errorf("%s %w", m.name, err)
		}
	}
	labels := req.Labels
	req.Labels = nil
	for name, text := range labels {
		if req.Labels == nil {
			req.Labels = make(map[string]string, len(labels))
		}
		if req.Labels[name], err = fill(text, value); err != nil {
			return fmt.Errorf("labels.%s %w", name, err)
		}
	}
	return nil
}

// placeholders returns the placeholders of a route, each once.
func (r *Route) placeholders() ([]string, error) {
	var found []string
	seen := make(map[string]bool)
	probe := *r
	err := probe.fill(func(name string) string {
		if !seen[name] {
			seen[name] = true
			found = append(found, name)
		}
		return name
	})
	return found, err
}

// IsTemplate reports whether the route has placeholders, and so may lead to many content groups.
func (r *Route) IsTemplate() bool { return len(r.uses) > 0 }

// TakesAll reports whether the route takes every change in its place. A route with {account} or
// {prefix:1} takes no change that has none.
func (r *Route) TakesAll() bool {
	for _, name := range r.uses {
		if name == placeAccount || folderOf(name) > 0 {
			return false
		}
	}
	return true
}

// values is what a change has for the placeholders of a route. A value that the route does not
// use is empty.
type values struct {
	route                      int
	container, account, system string
	folders                    string // the key to the end of the last folder that is used
}

// values returns false if the change has no value for a placeholder.
func (r *Route) values(route int, c *Change) (values, bool) {
	v := values{route: route}
	for _, name := range r.uses {
		switch name {
		case placeContainer:
			v.container = c.Container
		case placeAccount:
			if v.account = c.Account; v.account == "" {
				return v, false
			}
		case placeSystem:
			if v.system = c.System; v.system == "" {
				return v, false
			}
		default:
			end := 0
			for range folderOf(name) {
				n := strings.IndexByte(c.Key[end:], '/')
				if n <= 0 {
					return v, false
				}
				end += n + 1
			}
			if end > len(v.folders) {
				v.folders = c.Key[:end]
			}
		}
	}
	return v, true
}

// value returns the value of a placeholder.
func (v *values) value(placeholder string) string {
	switch placeholder {
	case placeContainer:
		return v.container
	case placeAccount:
		return v.account
	case placeSystem:
		return v.system
	}
	folders := v.folders
	for range folderOf(placeholder) - 1 {
		_, folders, _ = strings.Cut(folders, "/")
	}
	folder, _, _ := strings.Cut(folders, "/")
	return folder
}

// instance returns the route that a template is for a change with these values, or nil if no
// request can have them, such as names that are too long.
func (r *Route) instance(v values) *Route {
	of := *r
	of.uses = nil
	if of.fill(v.value) != nil {
		return nil
	}
	message, err := schemas.DecodeRequest(nil, of.Request.JSON())
	if err != nil {
		return nil
	}
	of.Request = message.Request
	if d := of.Directive; d != nil {
		file := Change{Kind: KindCreated, Container: d.Container, Key: d.object("x")}
		if _, why := file.Path(); why != "" {
			return nil
		}
	}
	return &of
}
