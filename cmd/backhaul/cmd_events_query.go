package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/publisher"
	"backhaul/schemas"
)

// queryFlags select events.
type queryFlags struct {
	kinds             []string
	source            string
	requestID         string
	client, subclient string
	labels            map[string]string
	jobID, outcome    string
	errorCode         string
	since, until      time.Time
}

// addQueryFlags adds them. The names are those of `request`.
func addQueryFlags(cmd *cobra.Command, f *queryFlags) {
	cmd.Flags().StringSliceVar(&f.kinds, "kind", nil, "only these `kinds`: "+strings.Join(kindNames(), ", "))
	addSourceFilter(cmd, &f.source)
	addFilter(cmd, &f.requestID, "request-id", "only requests with this `id`, and the rejections of others with it")
	addFilter(cmd, &f.client, "client-name", "only what is about this object storage `client`")
	addFilter(cmd, &f.subclient, "subclient-name", "only what is about this content `group`")
	addLabels(cmd, &f.labels, "only requests with this label, `name=value`; all of them if there are several")
	addFilter(cmd, &f.jobID, "job-id", "only events about the job with this `id` of the vendor")
	addFilter(cmd, &f.outcome, "outcome", "only jobs that ended with this `outcome`, such as failed")
	addFilter(cmd, &f.errorCode, "error-code", "only failures with this `code`, ours or the vendor's in either form")
	addMoment(cmd, &f.since, "since", "`time` (2026-11-23T10:00:00Z) or age (90m, 7d) to begin with")
	addMoment(cmd, &f.until, "until", "`time` or age to end with")
}

// wanted says which events are selected.
type wanted struct {
	kinds []schemas.Kind
	// operators and protection select the events that are about no request.
	operators, protection bool
}

// query returns what the flags select. What operators did, and the protection of content
// groups, is selected unless something is that only requests have. The error is a
// [*usageError].
func (f queryFlags) query() (q eventlog.Query, w wanted, err error) {
	q.Match = eventlog.Match{RequestID: f.requestID, Client: f.client, Subclient: f.subclient, ErrorCode: f.errorCode, Labels: f.labels, JobID: f.jobID, Outcome: schemas.Outcome(f.outcome)}
	if f.outcome != "" && !slices.Contains(schemas.Outcomes, q.Match.Outcome) {
		return q, w, &usageError{fmt.Errorf("--outcome: unknown outcome %q: must be one of %s", f.outcome, joined(schemas.Outcomes))}
	}
	if w, err = wantedOf(f.kinds); err != nil {
		return q, w, err
	}
	ofRequests := f.source+f.requestID+f.jobID+f.outcome+f.errorCode != "" || len(f.labels) > 0
	ofGroups := f.client+f.subclient != ""
	switch {
	case w.operators && (ofRequests || ofGroups):
		return q, w, &usageError{errors.New("--kind operator does not go with what only requests have: it is about no request")}
	case w.protection && ofRequests:
		return q, w, &usageError{errors.New("--kind protection goes with --client-name and --subclient-name only: it is about no request")}
	case len(f.kinds) == 0:
		w.operators, w.protection = !ofRequests && !ofGroups, !ofRequests
	}
	if len(w.kinds) > 0 || len(f.kinds) == 0 {
		q.Filters = filtersOf(w.kinds, f.source, &q.Match)
	}
	if w.operators && len(f.kinds) > 0 {
		q.Filters = append(q.Filters, publisher.AnyOperator)
	}
	if w.protection && len(f.kinds) > 0 {
		q.Filters = append(q.Filters, publisher.AnyProtection)
	}
	// The user of a source may read its events, and nothing else, as may that of protection.
	onlyProtection := w.protection && !w.operators && len(w.kinds) == 0 && len(f.kinds) > 0
	q.UpToLeader = f.source == "" && !onlyProtection
	q.Since, q.Until = f.since, f.until
	return q, w, checkPeriod(f.since, f.until)
}

// wantedOf returns the events that --kind names.
func wantedOf(names []string) (w wanted, err error) {
	for _, name := range names {
		kind := schemas.Kind(name)
		switch {
		case name == kindOperator:
			w.operators = true
		case name == kindProtection:
			w.protection = true
		case !slices.Contains(schemas.Kinds, kind):
			return wanted{}, &usageError{fmt.Errorf("--kind: unknown kind %q: must be one of %s", name, strings.Join(kindNames(), ", "))}
		case !slices.Contains(w.kinds, kind):
			w.kinds = append(w.kinds, kind)
		}
	}
	return w, nil
}

// joined returns typed constants as a list for people.
func joined[T ~string](values []T) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = string(value)
	}
	return strings.Join(texts, ", ")
}

func kindNames() []string {
	var names []string
	for _, kind := range schemas.Kinds {
		names = append(names, string(kind))
	}
	return append(names, kindOperator, kindProtection)
}

// filtersOf lets the server filter by what a subject contains. Only what is left is
// compared here.
func filtersOf(kinds []schemas.Kind, source string, m *eventlog.Match) []string {
	if len(kinds) == 0 {
		switch {
		case m.ErrorCode != "":
			kinds = []schemas.Kind{schemas.KindJobFailed} // no other kind has a code
		case m.Outcome != "":
			kinds = []schemas.Kind{schemas.KindJobFinished}
		}
	}
	if m.RequestID != "" {
		if len(kinds) == 0 {
			kinds = schemas.Kinds
		}
		names := history.Names(m.RequestID)
		if len(names) > 1 { // the name of a key, such as "seq-7", and not an id that others may have used
			m.RequestID = ""
			return eventlog.KeyFilters(source, names, kinds)
		}
		return eventlog.RequestFilters(source, names, kinds)
	}
	var filters []string
	for _, kind := range kinds {
		filters = append(filters, publisher.EventFilter(kind, source))
	}
	if len(kinds) == 0 && source != "" {
		filters = []string{publisher.EventFilter("", source)}
	}
	return filters
}
