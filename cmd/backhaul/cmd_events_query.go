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
	addFilter(cmd, &f.client, "client-name", "only requests for this object storage `client`")
	addFilter(cmd, &f.subclient, "subclient-name", "only requests for this content `group`")
	cmd.Flags().StringToStringVar(&f.labels, "label", nil, "only requests with this label, `name=value`; all of them if there are several")
	addFilter(cmd, &f.jobID, "job-id", "only events about the job with this `id` of the vendor")
	addFilter(cmd, &f.outcome, "outcome", "only jobs that ended with this `outcome`, such as failed")
	addFilter(cmd, &f.errorCode, "error-code", "only failures with this `code`, ours or the vendor's in either form")
	addMoment(cmd, &f.since, "since", "`time` (2026-11-23T10:00:00Z) or age (90m) to begin with")
	addMoment(cmd, &f.until, "until", "`time` or age to end with")
}

// query returns what the flags select, and whether what operators did is asked for: it is,
// unless something is that only requests have. The error is a [*usageError].
func (f queryFlags) query() (q eventlog.Query, operators bool, err error) {
	q.Match = eventlog.Match{RequestID: f.requestID, Client: f.client, Subclient: f.subclient, ErrorCode: f.errorCode, Labels: f.labels, JobID: f.jobID, Outcome: schemas.Outcome(f.outcome)}
	if f.outcome != "" && !slices.Contains(schemas.Outcomes, q.Match.Outcome) {
		return q, false, &usageError{fmt.Errorf("--outcome: unknown outcome %q: must be one of %s", f.outcome, joined(schemas.Outcomes))}
	}
	kinds, operators, err := kindsOf(f.kinds)
	if err != nil {
		return q, false, err
	}
	ofRequests := f.source+f.requestID+f.client+f.subclient+f.jobID+f.outcome+f.errorCode != "" || len(f.labels) > 0
	switch {
	case operators && ofRequests:
		return q, false, &usageError{errors.New("--kind operator does not go with what only requests have: it is about no request")}
	case operators:
		q.Filters = append(filtersOf(kinds, f.source, &q.Match), publisher.AnyOperator)
	default:
		q.Filters = filtersOf(kinds, f.source, &q.Match)
		operators = len(kinds) == 0 && !ofRequests
	}
	q.UpToLeader = f.source == "" // the user of a source may read its events, and nothing else
	q.Since, q.Until = f.since, f.until
	return q, operators, checkPeriod(f.since, f.until)
}

func kindsOf(names []string) (kinds []schemas.Kind, operators bool, err error) {
	for _, name := range names {
		if name == kindOperator {
			operators = true
			continue
		}
		kind := schemas.Kind(name)
		if !slices.Contains(schemas.Kinds, kind) {
			return nil, false, &usageError{fmt.Errorf("--kind: unknown kind %q: must be one of %s", name, strings.Join(kindNames(), ", "))}
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds, operators, nil
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
	return append(names, kindOperator)
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
