package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console/state"
	"backhaul/cmd/internal/eventlog"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
)

// requestsFlags are those of `backhaul requests`.
type requestsFlags struct {
	states        []string
	source        string
	file, batch   string
	ids           map[string]bool // of the file, nil without one
	client, group string
	labels        map[string]string
	since         time.Time
	limit         int
	watch         bool
	output        string
}

const (
	// maxListedEvents is how far before the end of the stream `requests` begins to read.
	maxListedEvents = 200_000
	// maxListedMessages is how much of the queue it reads: the server has no faster way.
	maxListedMessages = 500
)

func newRequestsCommand() *cobra.Command {
	var f requestsFlags
	cmd := &cobra.Command{
		Use:   "requests",
		Short: "List requests and where they stand",
		Long: fmt.Sprintf(`Lists the newest requests first, with their state, and the job and backup of a started one. It
reads the last %d events at most, holds the newest %d requests of them, and reads the
first %d messages of the queue for requests that no replica has claimed yet; what was left out is
said on standard error. Older requests: "backhaul status" and "backhaul events".

A state is that of the request or of its backup; of several, one must hold:
  %s,
  %s.

--file selects those that "backhaul request --file" has sent, with the same --source and --batch;
how many of them are not listed is said on standard error.

"started" stays the state of a request whose job was killed or has ended otherwise. The backup
of a job that has no end yet is "open".

With --watch the list is followed by a line for each request whenever an event changes it.`,
			maxListedEvents, state.MaxRequests, maxListedMessages, joined(history.Statuses), joined(backupStates())),
		Example: `  backhaul requests --nats nats://127.0.0.1:4222 --state waiting,in-doubt -o wide
  backhaul requests --nats nats://127.0.0.1:4222 --source billing --since 2h --state failed -o name
  backhaul requests --nats nats://127.0.0.1:4222 --label ticket=CHG-17 --watch
  backhaul requests --source billing --file requests.ndjson --state open -o job`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRequests(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.states, "state", nil, "only requests in one of these `states`")
	addSourceFilter(cmd, &f.source)
	addFilter(cmd, &f.client, "client-name", "only requests of this object storage `client`")
	addFilter(cmd, &f.group, "subclient-name", "only requests of this content `group`")
	addLabels(cmd, &f.labels, "only requests with this label, `name=value`; all of them if there are several")
	addMoment(cmd, &f.since, "since", "only requests with an event since this `time` (2026-11-23T10:00:00Z) or age (90m, 7d), or stored in the queue since")
	flags.StringVar(&f.file, "file", "", "only the requests of this `file`, - for standard input, which were sent with the source cli unless --source says another")
	flags.StringVar(&f.batch, "batch", "", "`name` that was given when the file was sent, by default the file's")
	flags.IntVar(&f.limit, "limit", 500, "end after this `number` of requests, 0 means no limit, as with --file")
	flags.BoolVarP(&f.watch, "watch", "w", false, "go on with what changes")
	config.AddFlags(flags, config.GroupNATS, config.GroupLog)
	f.output = outputTable
	flags.VarP((*listOutput)(&f.output), "output", "o", "`table|wide|json|name|job`; name and job print nothing else, for other commands")
	return cmd
}

// listOutput is the value of --output of a list.
type listOutput string

const (
	outputWide = "wide"
	outputName = "name"
	outputJob  = "job"
)

func (v *listOutput) String() string { return string(*v) }
func (v *listOutput) Type() string   { return "string" }

func (v *listOutput) Set(text string) error {
	if !slices.Contains([]string{outputTable, outputWide, outputJSON, outputName, outputJob}, text) {
		return fmt.Errorf("must be %s, %s, %s, %s or %s", outputTable, outputWide, outputJSON, outputName, outputJob)
	}
	*v = listOutput(text)
	return nil
}

// backupStates returns the states of backups that are not the state of a request as well.
func backupStates() []state.Backup {
	return slices.DeleteFunc(slices.Clone(state.Backups), func(b state.Backup) bool {
		return slices.Contains(history.Statuses, history.Status(b))
	})
}

// inFile reports whether a request is one of the file, if there is one.
func (f requestsFlags) inFile(requestID string, key publisher.Key) bool {
	return f.ids == nil || f.ids[requestID] || f.ids[key.Name]
}

// wants reports whether a request is in one of the states.
func (f requestsFlags) wants(r listed) bool {
	return len(f.states) == 0 || slices.ContainsFunc(f.states, func(name string) bool {
		if slices.Contains(history.Statuses, history.Status(name)) {
			return r.State == history.Status(name)
		}
		return state.Backup(name).Matches(r.backup)
	})
}

func (f requestsFlags) check() error {
	for _, name := range f.states {
		if !slices.Contains(history.Statuses, history.Status(name)) && !slices.Contains(state.Backups, state.Backup(name)) {
			return &usageError{fmt.Errorf("--state: unknown state %q: must be one of %s, %s", name, joined(history.Statuses), joined(backupStates()))}
		}
	}
	if f.batch != "" && f.file == "" {
		return errBatchAlone()
	}
	if f.limit < 0 {
		return &usageError{fmt.Errorf("--limit must not be negative")}
	}
	return nil
}

func (f requestsFlags) query() eventlog.Query {
	q := eventlog.Query{Match: eventlog.Match{Client: f.client, Subclient: f.group, Labels: f.labels}, Since: f.since, UpToLeader: f.source == ""}
	if f.source != "" {
		q.Filters = []string{publisher.EventFilter("", f.source)}
	}
	return q
}

func runRequests(cmd *cobra.Command, f requestsFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	if f.file != "" {
		if !flagOf(cmd, "limit").Changed {
			f.limit = 0 // the file is the limit
		}
		var err error
		if f.ids, err = readFileIDs(cmd, f.file, f.batch, &f.source); err != nil {
			return err
		}
	}
	nc, js, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, explain := ask(cmd.Context(), nc)
	held, err := state.Collect(ctx, js, f.query(), maxListedEvents)
	if err != nil {
		return explain(err)
	}
	all, notes, err := f.list(ctx, js, held)
	if err != nil {
		return explain(err)
	}
	p := newListPrinter(cmd.OutOrStdout(), f.output, all)
	for _, r := range all {
		if err := p.print(r); err != nil {
			return err
		}
	}
	for _, note := range notes {
		fmt.Fprintln(cmd.ErrOrStderr(), "backhaul: "+note)
	}
	switch {
	case f.watch:
		if err := f.follow(ctx, js, held, p); cmd.Context().Err() == nil {
			return explain(err)
		}
		return nil // it has no other end
	case len(all) == 0 && f.output != outputJSON:
		fmt.Fprintln(cmd.ErrOrStderr(), "backhaul: no request matches")
	}
	return nil
}

// list returns the requests that are wanted, the newest first, and what was left out.
func (f requestsFlags) list(ctx context.Context, js jetstream.JetStream, held *state.Collection) (all []listed, notes []string, err error) {
	if f.mayWait() {
		queued, more, err := history.Messages(ctx, js, f.source, maxListedMessages)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range queued {
			if r := listedMessage(m, held.AsOf); !held.Has(m.Key) && f.inFile(m.Request.RequestID, m.Key) && f.matches(m) && f.wants(r) {
				all = append(all, r)
			}
		}
		if more {
			notes = append(notes, fmt.Sprintf("the queue has more than %d messages; those behind were not read", maxListedMessages))
		}
	}
	for _, r := range held.Requests() {
		if l := listedRequest(r, held.AsOf); f.inFile(r.RequestID, r.Key) && f.wants(l) {
			all = append(all, l)
		}
	}
	slices.SortStableFunc(all, func(a, b listed) int { return b.Requested.Compare(a.Requested) })
	if held.Begins > 0 {
		notes = append(notes, fmt.Sprintf("events before %d were not read: only the last %d are", held.Begins, maxListedEvents))
	}
	if missing := len(f.ids) - len(all); missing > 0 {
		notes = append(notes, fmt.Sprintf("%d of the file's %s not listed: not selected by another flag, not read, or never sent by the source %s with this name of the batch",
			missing, plural(len(f.ids), "request is", "requests are"), f.source))
	}
	if f.limit > 0 && len(all) > f.limit {
		notes = append(notes, fmt.Sprintf("%d older requests are not shown (--limit)", len(all)-f.limit))
		all = all[:f.limit]
	}
	return all, notes, nil
}

// mayWait reports whether requests without an event are wanted.
func (f requestsFlags) mayWait() bool {
	return len(f.states) == 0 || slices.Contains(f.states, string(history.Waiting))
}

// matches reports whether a message in the queue is wanted by what it says.
func (f requestsFlags) matches(m history.Message) bool {
	for name, value := range f.labels {
		if have, ok := m.Request.Labels[name]; !ok || have != value {
			return false
		}
	}
	return (f.client == "" || strings.EqualFold(f.client, m.Request.ClientName)) &&
		(f.group == "" || strings.EqualFold(f.group, m.Request.SubclientName)) && !m.Since.Before(f.since)
}

// follow prints each request that an event changes, until ctx ends.
func (f requestsFlags) follow(ctx context.Context, js jetstream.JetStream, held *state.Collection, p *listPrinter) error {
	q := f.query()
	q.From, q.Follow = held.Last+1, true
	return eventlog.Read(ctx, js, q, func(e eventlog.Event) error {
		r := held.Apply(e)
		if l := listedRequest(r, e.Stored); f.inFile(r.RequestID, r.Key) && f.wants(l) {
			return p.print(l)
		}
		return nil
	})
}

// listed is a request in the list.
type listed struct {
	Name      string         `json:"name"`
	RequestID string         `json:"requestId,omitempty"`
	State     history.Status `json:"state"`
	Requested time.Time      `json:"requestedAt"`
	Client    string         `json:"clientName,omitempty"`
	Group     string         `json:"subclientName,omitempty"`
	Outcome   outcomeOf      `json:"outcome,omitzero"`
	Why       *openOf        `json:"why,omitempty"`
	backup    history.Backup
	age       time.Duration
}

// outcomeOf is what became of a listed request.
type outcomeOf struct {
	JobID    string `json:"jobId,omitempty"`
	Backup   string `json:"backup,omitempty"`
	Code     string `json:"errorCode,omitempty"`
	Message  string `json:"errorMessage,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

// openOf is why a listed request has no outcome.
type openOf struct {
	Owner     string             `json:"owner,omitempty"`
	Priority  string             `json:"priority,omitempty"`
	LastError *history.LastError `json:"lastError,omitempty"`
}

func listedMessage(m history.Message, now time.Time) listed {
	return listed{
		Name: m.Key.String(), RequestID: m.Request.RequestID, State: history.Waiting, Requested: m.Since,
		Client: m.Request.ClientName, Group: m.Request.SubclientName, Why: &openOf{Priority: m.Priority}, age: now.Sub(m.Since),
	}
}

func listedRequest(r state.Request, now time.Time) listed {
	l := listed{
		Name: r.Key.String(), RequestID: r.RequestID, State: r.Status, Requested: r.Requested.UTC(), Client: r.Client, Group: r.ContentGroup,
		Outcome: outcomeOf{JobID: r.JobID, Code: r.CodeText(), Message: r.Message, Attempts: r.Attempts},
		backup:  r.Backup, age: now.Sub(r.Requested),
	}
	if len(r.Jobs) > 0 {
		l.Outcome.Backup = r.Backup.Word()
	}
	if r.Open() {
		l.Why = &openOf{Owner: r.Owner, LastError: r.LastError}
	}
	return l
}

// said returns why a request failed or waits, "" for nothing to say.
func (l listed) said() string {
	switch {
	case l.Outcome.Code != "":
		return strings.TrimSuffix(l.Outcome.Code+": "+l.Outcome.Message, ": ")
	case l.Why != nil && l.Why.LastError != nil:
		return l.Why.LastError.Text
	}
	return l.Outcome.Message
}

// listPrinter prints requests as lines, as wide as those that it was made for.
type listPrinter struct {
	w      io.Writer
	output string
	widths []int
	headed bool
}

func newListPrinter(w io.Writer, output string, all []listed) *listPrinter {
	p := &listPrinter{w: w, output: output}
	for _, r := range append([]listed{{}}, all...) {
		columns := p.columns(r)
		if r.Name == "" {
			columns = p.titles()
		}
		for i, text := range columns {
			if i == len(p.widths) {
				p.widths = append(p.widths, 0)
			}
			p.widths[i] = max(p.widths[i], len([]rune(text)))
		}
	}
	return p
}

func (p *listPrinter) titles() []string {
	titles := []string{"REQUEST", "STATE", "AGE", "CLIENT", "GROUP", "JOB", "BACKUP"}
	if p.output == outputWide {
		titles = append(titles, "ATTEMPTS", "OWNER", "ERROR")
	}
	return titles
}

func (p *listPrinter) columns(r listed) []string {
	columns := []string{r.Name, string(r.State), ago(max(r.age, 0)), dash(r.Client), dash(r.Group), dash(r.Outcome.JobID), dash(r.Outcome.Backup)}
	if p.output == outputWide {
		owner, attempts := "", ""
		if r.Why != nil {
			owner = r.Why.Owner
		}
		if r.Outcome.Attempts > 0 {
			attempts = fmt.Sprint(r.Outcome.Attempts)
		}
		columns = append(columns, dash(attempts), dash(owner), dash(r.said()))
	}
	return columns
}

// print prints one request; before the first one, the names of the columns.
func (p *listPrinter) print(r listed) error {
	switch p.output {
	case outputJSON:
		return printJSON(p.w, r)
	case outputName:
		_, err := fmt.Fprintln(p.w, show.Line(r.Name))
		return err
	case outputJob:
		if r.Outcome.JobID == "" {
			return nil
		}
		_, err := fmt.Fprintln(p.w, show.Line(r.Outcome.JobID))
		return err
	}
	if !p.headed {
		p.headed = true
		if err := p.line(p.titles()); err != nil {
			return err
		}
	}
	return p.line(p.columns(r))
}

func (p *listPrinter) line(columns []string) error {
	var b strings.Builder
	for i, text := range columns {
		if i == len(columns)-1 {
			b.WriteString(show.Line(text))
			break
		}
		fmt.Fprintf(&b, "%-*s  ", p.widths[i], show.Line(text))
	}
	_, err := fmt.Fprintln(p.w, b.String())
	return err
}
