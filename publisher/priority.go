package publisher

import (
	"fmt"
	"strings"
)

// Priority is how urgent a request is while starts are scarce. It is a token of the
// request's subject, so that NATS permissions can grant it, and no part of the request: the
// same request under two priorities is one request.
type Priority string

// The priorities.
const (
	High   Priority = "high"
	Normal Priority = "" // has no token
	Low    Priority = "low"
)

// Priorities are the priorities, the most urgent one first.
var Priorities = []Priority{High, Normal, Low}

// Name returns the priority's name. That of Normal is not a token of a subject.
func (p Priority) Name() string {
	if p == Normal {
		return "normal"
	}
	return string(p)
}

// ParsePriority returns the priority with a name.
func ParsePriority(name string) (Priority, error) {
	for _, p := range Priorities {
		if p.Name() == name {
			return p, nil
		}
	}
	return Normal, fmt.Errorf("priority %q is unknown, must be high, normal or low", name)
}

// RequestSubject is where a source publishes its requests of a priority.
func RequestSubject(source string, p Priority) string {
	if p == Normal {
		return requestPrefix + source
	}
	return requestPrefix + source + "." + string(p)
}

// RequestSubjects are all subjects on which a source publishes requests. No filter matches
// them and nothing else.
func RequestSubjects(source string) []string {
	var all []string
	for _, p := range Priorities {
		all = append(all, RequestSubject(source, p))
	}
	return all
}

// ParseRequestSubject is the source and the priority of a request.
func ParseRequestSubject(subject string) (source string, p Priority, err error) {
	rest, ok := strings.CutPrefix(subject, requestPrefix)
	if !ok {
		return "", Normal, fmt.Errorf("subject %q is not %s<source>[.high|.low]", subject, requestPrefix)
	}
	source, token, has := strings.Cut(rest, ".")
	if has {
		if p = Priority(token); p != High && p != Low {
			return "", Normal, fmt.Errorf("subject %q is not %s<source>[.high|.low]", subject, requestPrefix)
		}
	}
	return source, p, CheckSource(source)
}
