package canary

import (
	"slices"
	"sync"

	"backhaul/cmd/internal/doctor"
	"backhaul/vendorapi"
)

// Limits collects what answers say about limits on calls. It is safe for concurrent use.
type Limits struct {
	mu    sync.Mutex
	first map[string][]string // by operation: the first answer that had any
}

// Answered is for [vendorapi.Config].
func (l *Limits) Answered(a vendorapi.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(a.Limits) == 0 {
		return
	}
	if l.first == nil {
		l.first = make(map[string][]string)
	}
	if _, had := l.first[a.Call.Op]; !had {
		l.first[a.Call.Op] = a.Limits
	}
}

// lines returns one line for each field of each operation.
func (l *Limits) lines() (all []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for op, fields := range l.first {
		for _, field := range fields {
			all = append(all, op+": "+field)
		}
	}
	slices.Sort(all)
	return all
}

func (r *Result) limits(lines []string) {
	if len(lines) == 0 {
		r.add(doctor.Note, "limits", "no answer named a limit on calls", "")
	}
	for _, line := range lines {
		r.add(doctor.Note, "limits", line, "")
	}
}
