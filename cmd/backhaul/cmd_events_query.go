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

// addQueryFlags adds what selects events. The names are those of `request`.
func addQueryFlags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSlice("kind", nil, "only these `kinds`: "+strings.Join(kindNames(), ", "))
	flags.String("source", "", "only requests of this `source`")
	flags.String("request-id", "", "only requests with this `id`, and the rejections of others with it")
	flags.String("client-name", "", "only requests for this object storage `client`")
	flags.String("subclient-name", "", "only requests for this content `group`")
	flags.StringToString("label", nil, "only requests with this label, `name=value`; all of them if there are several")
	flags.String("error-code", "", "only failures with this `code`, ours or the vendor's in either form")
	flags.String("since", "", "`time` (2026-11-23T10:00:00Z) or age (90m) to begin with")
	flags.String("until", "", "`time` or age to end with")
}

// queryOf reads those flags, and whether what operators did is asked for: it is,
// unless something is that only requests have. The error is a [*usageError].
func queryOf(cmd *cobra.Command, now time.Time) (q eventlog.Query, operators bool, err error) {
	flags := cmd.Flags()
	if err := checkFilters(cmd, "source", "request-id", "client-name", "subclient-name", "error-code", "since", "until"); err != nil {
		return q, false, err
	}
	text := func(name string) string {
		value, _ := flags.GetString(name)
		return value
	}
	source, err := sourceOf(cmd)
	if err != nil {
		return q, false, err
	}
	q.Match = eventlog.Match{
		RequestID: text("request-id"), Client: text("client-name"), Subclient: text("subclient-name"), ErrorCode: text("error-code"),
	}
	q.Match.Labels, _ = flags.GetStringToString("label")
	kinds, operators, err := kindsOf(cmd)
	if err != nil {
		return q, false, err
	}
	ofRequests := source != "" || q.Match.RequestID+q.Match.Client+q.Match.Subclient+q.Match.ErrorCode != "" || len(q.Match.Labels) > 0
	switch {
	case operators && ofRequests:
		return q, false, &usageError{errors.New("--kind operator does not go with what only requests have: it is about no request")}
	case operators:
		q.Filters = append(filtersOf(kinds, source, &q.Match), publisher.AnyOperator)
	default:
		q.Filters = filtersOf(kinds, source, &q.Match)
		operators = len(kinds) == 0 && !ofRequests
	}
	q.UpToLeader = source == "" // the user of a source may read its events, and nothing else
	q.Since, q.Until, err = periodOf(cmd, now)
	return q, operators, err
}

func kindsOf(cmd *cobra.Command) (kinds []schemas.Kind, operators bool, err error) {
	names, _ := cmd.Flags().GetStringSlice("kind")
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

func kindNames() []string {
	var names []string
	for _, kind := range schemas.Kinds {
		names = append(names, string(kind))
	}
	return append(names, kindOperator)
}

// filtersOf has the server filter whatever a subject tells. Only what is left is
// compared here.
func filtersOf(kinds []schemas.Kind, source string, m *eventlog.Match) []string {
	if m.ErrorCode != "" && len(kinds) == 0 {
		kinds = []schemas.Kind{schemas.KindJobFailed} // no other kind has a code
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
