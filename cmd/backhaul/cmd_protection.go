package main

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/objectives"
	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/strictyaml"
)

// protectionFlags are those of `backhaul protection`.
type protectionFlags struct {
	breached bool
	at       time.Time
	groupFlags
	output string
}

func newProtectionCommand() *cobra.Command {
	var f protectionFlags
	cmd := &cobra.Command{
		Use:   "protection",
		Short: "Show until when content groups are protected",
		Long: `Shows for each content group whether its changes are in a finished backup, the
worst first. With an objectives file, a group is breached if its objective is
broken. With --breached only those are shown, and the exit code is 1 if there is
one. With --output json each line is one content group.

All times are those at which JetStream stored a message. A change is known when its
window ends (backhaul trigger).`,
		Example: `  backhaul protection --nats nats://127.0.0.1:4222
  backhaul protection --nats nats://127.0.0.1:4222 --objectives-file objectives.yaml --breached --group 'finance-*'
  backhaul protection --nats nats://127.0.0.1:4222 --at 2026-11-23T10:00:00Z --output json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runProtection(cmd, f) },
	}
	cmd.Flags().BoolVar(&f.breached, "breached", false, "only content groups whose objective is broken; exit code 1 if there is one")
	addMoment(cmd, &f.at, "at", "`time` (2026-11-23T10:00:00Z) or age (90m) to show; now if left out")
	addGroupFlags(cmd, &f.groupFlags)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupProtection, config.GroupLog)
	addOutputFlag(cmd, &f.output)
	cmd.AddCommand(newProtectionCheckCommand(), newProtectionReportCommand())
	return cmd
}

// groupFlags select content groups.
type groupFlags struct{ client, group string }

func addGroupFlags(cmd *cobra.Command, f *groupFlags) {
	addFilter(cmd, &f.client, "client-name", "only content groups of object storage clients with this `pattern`, such as 's3-*'")
	addFilter(cmd, &f.group, "group", "only content groups with this `pattern`, such as 'finance-*'; one with a / is compared with client/group")
}

// selects reports whether a group fits the patterns.
func (f *groupFlags) selects(g protection.Group) bool {
	name := g.Subclient
	if strings.Contains(f.group, "/") {
		name = g.String()
	}
	return (f.client == "" || strictyaml.MatchName(f.client, g.Client)) && (f.group == "" || strictyaml.MatchName(f.group, name))
}

func runProtection(cmd *cobra.Command, f protectionFlags) error {
	nc, js, cfg, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	var promises *objectives.Objectives
	if file := cfg.Protection.ObjectivesFile; file != "" {
		if promises, err = loadObjectives(file); err != nil {
			return err
		}
	} else if f.breached {
		return errNoObjectives()
	}
	ctx, explain := ask(cmd.Context(), nc)
	defer frugally()()
	fold, now, err := protection.Load(ctx, js)
	if err != nil {
		return explain(err)
	}
	at := f.at
	switch {
	case at.IsZero():
		at = now
	case at.After(now):
		return &usageError{errors.New("--at is in the future")}
	}
	standings := stand(fold, promises, f, at)
	if err := printStandings(cmd.OutOrStdout(), f.output, standings, f.breached, at); err != nil {
		return err
	}
	sayUnused(cmd, promises.Unused(fold.Groups()))
	if f.breached && len(standings) > 0 {
		return errSaid
	}
	return nil
}

// sayUnused names on stderr the objectives that no content group has: a pattern may be wrong.
func sayUnused(cmd *cobra.Command, unused []string) {
	if len(unused) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "objectives of no content group on record: %s\n", strings.Join(unused, ", "))
	}
}

// frugally collects garbage often until restore is called. The fold is most of the memory of such a
// command, grows until all is read, and has hardly a pointer: a collection costs little.
func frugally() (restore func()) {
	before := debug.SetGCPercent(20)
	return func() { debug.SetGCPercent(before) }
}

// stand returns how the selected groups stand, the worst first.
func stand(fold *protection.Fold, promises *objectives.Objectives, f protectionFlags, at time.Time) (all []protection.Standing) {
	for _, g := range fold.Groups() {
		o, promised := promises.For(g)
		s, ok := fold.Stand(g, o, promised, at)
		if ok && f.selects(g) && (!f.breached || s.Status == protection.Breached) {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b protection.Standing) int { return protection.CompareStandings(&a, &b) })
	return all
}

// standingView is how a group stands, as JSON.
type standingView struct {
	protection.State
	Status    protection.Status   `json:"status"`
	Objective *objectiveView      `json:"objective,omitempty"`
	Broken    []protection.Broken `json:"broken,omitempty"`
	Limit     time.Time           `json:"limit,omitzero"`
	At        time.Time           `json:"at"`
}

// printStandings prints standings; breached is true if others were left out.
func printStandings(w io.Writer, output string, all []protection.Standing, breached bool, at time.Time) error {
	if output == outputJSON {
		for _, s := range all {
			v := standingView{State: s.State, Status: s.Status, Broken: s.Broken, Limit: s.Limit, At: at.UTC()}
			if s.Promised {
				o := objectiveViewOf(s.Objective)
				v.Objective = &o
			}
			if err := printJSON(w, v); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w)
	t.row("STATUS", "CONTENT GROUP", "OBJECTIVE", "EXPOSED SINCE", "LAST GOOD START", "WHY")
	counts := make(map[protection.Status]int)
	for _, s := range all {
		counts[s.Status]++
		t.row(string(s.Status), s.Group.String(), dash(s.Objective.Name), momentOf(s.ExposedSince, at), momentOf(s.LastGoodStart, at), whyOf(&s, at))
	}
	if err := t.flush(); err != nil {
		return err
	}
	one, many := "content group", "content groups"
	if breached {
		one, many = "breached "+one, "breached "+many
	}
	var summary []string
	for _, status := range protection.Statuses {
		if n := counts[status]; n > 0 && !breached {
			summary = append(summary, fmt.Sprintf("%d %s", n, status))
		}
	}
	fmt.Fprintf(w, "%s, as of %s\n", strings.Join(append([]string{plural(len(all), one, many)}, summary...), ", "), stamp(at))
	return nil
}

// momentOf returns a time with its age, "-" for none.
func momentOf(t, at time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return fmt.Sprintf("%s, %s ago", stamp(t), ago(at.Sub(t)))
}

// whyOf returns why a group stands as it does.
func whyOf(s *protection.Standing, at time.Time) string {
	var parts []string
	for _, b := range s.Broken {
		parts = append(parts, fmt.Sprintf("%s broken for %s", b.Promise, ago(at.Sub(b.Since))))
	}
	if len(s.Exposed) > 0 {
		text := s.Why.Text()
		switch code := s.Exposed[0].ErrorCode; {
		case code != "":
			text += " (" + code + ")"
		case s.Why == protection.WhyOutcome && s.Last != nil && s.Last.End == s.Exposed[0].End:
			text += " (" + string(s.Last.Outcome) + ")"
		}
		parts = append(parts, text)
	}
	if s.NeverBackedUp {
		parts = append(parts, "no good backup on record")
	}
	return strings.Join(parts, "; ")
}
