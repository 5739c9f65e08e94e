package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/jobact"
	"backhaul/cmd/internal/logins"
	"backhaul/cmd/internal/service"
	"backhaul/consumer/budget"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

// jobFlags are those of the commands that act on a job.
type jobFlags struct {
	yes bool
	operatorFlags
	output string
}

func newJobCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "job",
		Short: "Suspend, resume or kill a job that a request has started",
		Long: `Asks the vendor to act on a job. Only jobs of requests are touched, and only if the
vendor shows the same client and content group for the id. The action, your name and the
reason are recorded before the vendor is asked.

The command logs in with the vendor's settings, as ` + "`backhaul check`" + ` does: run it where the
service has them, for example with kubectl exec. The vendor's user needs the right to
manage jobs. The action is a writing call of the tenant's budget and is sent once. If its
answer is lost, the job is looked at and what is known of it is said. Its events say what
becomes of the job: job-changed, or job-finished with the outcome killed.`,
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(
		newJobAction("suspend", "Suspend a job until it is resumed", vendorapi.SuspendJob),
		newJobAction("resume", "Let a suspended job go on", vendorapi.ResumeJob),
		newJobAction("kill", "End a job; what it has backed up so far may be lost", vendorapi.KillJob),
	)
	return cmd
}

func newJobAction(name, short string, action vendorapi.JobAction) *cobra.Command {
	var f jobFlags
	cmd := &cobra.Command{
		Use:   name + " JOB...",
		Short: short,
		Long: short + ". `backhaul job --help` says which jobs, and what is recorded.\n\n" +
			`Of several jobs each must be on record, or nothing is done. Then they are acted on one after
the other; one that is refused does not hold up the others.

Exit codes: 0 the vendor accepted all; 1 one was refused, or is not known; 2 configuration;
3 NATS is out of reach.`,
		Example: fmt.Sprintf("  backhaul job %[1]s 5976 --reason \"wrong content group, CHG-17\"\n"+
			"  backhaul job %[1]s --reason \"wrong file\" $(backhaul requests --label ticket=CHG-17 --state open -o job)", name),
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runJobs(cmd, args, action, f) },
	}
	if action == vendorapi.KillJob {
		addYesFlag(cmd, &f.yes)
	} else {
		f.yes = true
	}
	addOperatorFlags(cmd, &f.operatorFlags)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupVendor, config.GroupLog)
	addOutputFlag(cmd, &f.output)
	return cmd
}

func runJobs(cmd *cobra.Command, ids []string, action vendorapi.JobAction, f jobFlags) error {
	by, err := f.by()
	switch {
	case err != nil:
		return err
	case by.Reason == "":
		return &usageError{errors.New("--reason is missing: the record says why the job was touched")}
	}
	for _, id := range ids {
		if !publisher.IsJobID(id) {
			return &usageError{fmt.Errorf("%q is not a job id: give the vendor's number, as `backhaul status REQUEST` shows it", id)}
		}
	}
	cfg, log, err := load(cmd)
	if err != nil {
		return err
	}
	if err := cfg.CheckRun(); err != nil {
		return err
	}
	nc, js, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	pub, err := publisher.New(nc)
	if err != nil {
		return err
	}
	asking, explain := ask(cmd.Context(), nc)
	jobs, err := jobact.Find(asking, js, ids...)
	if err != nil {
		return explain(err)
	}
	if err := confirm(cmd, f.yes, killQuestion(jobs)); err != nil {
		return err
	}
	client, spent, end, err := jobClient(cmd.Context(), cfg, nc, &logins.Store{Log: log})
	if err != nil {
		return err
	}
	defer end()
	var failed error
	done := 0
	for i, job := range jobs {
		asking, explain := ask(cmd.Context(), nc)
		r, err := jobact.Act(asking, pub, client, job, action, by)
		switch refused, is := errors.AsType[*jobact.RefusedError](err); {
		case err == nil:
			done++
			err = printJobResult(cmd, f.output, r)
		case is && usedUp(err): // nor can the others be acted on
			return fmt.Errorf("%s: %w: %s", notDone(jobs[i:]), explain(refused), spent(len(jobs)-i))
		case is && len(jobs) > 1:
			text := explain(refused).Error()
			if about := "job " + job.ID; !strings.HasPrefix(text, about+" ") {
				text = about + ": " + text
			}
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "backhaul: %s\n", text)
			err = errSaid
		default:
			err = explain(err)
		}
		if err != nil && !errors.Is(err, errSaid) {
			return err
		}
		failed = cmp.Or(failed, err)
	}
	if action == vendorapi.KillJob && done > 0 && f.output != outputJSON {
		asking, _ := ask(cmd.Context(), nc)
		_, _ = fmt.Fprintln(cmd.ErrOrStderr(), "note: "+endText(lookAtFollower(asking, js, time.Now())))
	}
	return failed
}

// usedUp reports whether an action was not sent because the budget of writing calls is used up.
func usedUp(err error) bool {
	spent, ok := errors.AsType[*vendorapi.BudgetError](err)
	return ok && spent.Err == nil
}

// notDone names the jobs that were not acted on.
func notDone(jobs []jobact.Job) string {
	if len(jobs) == 1 {
		return "job " + jobs[0].ID
	}
	return fmt.Sprintf("job %s and %d more", jobs[0].ID, len(jobs)-1)
}

// endText says when the end of a killed job is on record: a follower reads it from the vendor's list.
func endText(s *followStatus, err error) string {
	switch {
	case err == nil && s.Error == "" && s.Missing:
		return "started jobs are not followed, so the end of a job is not recorded: there is no consumer follower; `backhaul setup` makes it"
	case err != nil || s.Error != "" || s.Reader == nil || s.Reader.LastList.IsZero():
		return "the end of a job is on record (job-finished) when a replica lists the vendor's jobs next; until then `backhaul requests` shows it without one"
	}
	next := s.Reader.LastList.Add(time.Duration(s.Reader.IntervalMillis) * time.Millisecond)
	if held := s.Reader.HeldUntil; held.After(next) {
		next = held
	}
	return fmt.Sprintf("the end of a job is on record (job-finished) when the vendor's jobs are listed next, at about %s; until then `backhaul requests` shows it without one", stamp(next))
}

// killQuestion asks whether jobs are to be killed.
func killQuestion(jobs []jobact.Job) string {
	first := jobs[0]
	text := fmt.Sprintf("Job %s of request %s backs up %s of %s.", first.ID, first.Key, first.Started.SubclientName, first.Started.ClientName)
	if len(jobs) > 1 {
		return fmt.Sprintf("%s Kill it and %d more?", text, len(jobs)-1)
	}
	return text + " Kill it?"
}

// jobClient returns a client of the vendor that shares refused logins and the budget with the
// replicas. spent says until when the budget is used up, and the ways out for a number of jobs.
func jobClient(ctx context.Context, cfg *config.Config, nc *nats.Conn, store *logins.Store) (client *vendorapi.Client, spent func(jobs int) string, end func(), err error) {
	settings := cfg.Vendor.Client(1)
	settings.Auth.Logins, settings.Auth.Process = store, "backhaul job on "+service.Owner()
	if err := store.Use(nc); err != nil {
		return nil, nil, nil, err
	}
	allowance := service.NewBudget(cfg, settings.Auth.Process, true, store.Log)
	if allowance != nil {
		if err := allowance.Use(nc); err != nil {
			return nil, nil, nil, err
		}
		settings.Pace.Budget = allowance
	}
	if client, err = vendorapi.New(settings); err != nil {
		return nil, nil, nil, &config.Error{Problems: []string{err.Error()}}
	}
	spent = func(jobs int) string { return spentText(allowance, jobs) }
	return client, spent, func() {
		service.Logout(ctx, client)
		if allowance != nil {
			allowance.Settle(ctx)
		}
	}, nil
}

// spentText says until when the budget is used up, and the ways out.
func spentText(allowance *budget.Budget, jobs int) string {
	if allowance == nil {
		return ""
	}
	v, _ := allowance.View()
	text := fmt.Sprintf("%d of %d are spent", v.Spent, v.Limit)
	if !v.Next.IsZero() {
		text += ", and the next is free at " + stamp(v.Next)
	}
	if v.VendorLimit > 0 || !v.ClosedUntil.IsZero() { // the limit is the vendor's own
		return text + ". Repeat the command then"
	}
	// A login and a logout are calls, too.
	return fmt.Sprintf("%s. Repeat the command then, or, if the tenant allows more calls, now with --writes-per-hour %d: "+
		"what it calls counts in the service's hour, too, so the service starts no job for longer", text, v.Spent+jobs+2)
}

func printJobResult(cmd *cobra.Command, output string, r jobact.Result) error {
	if output == outputJSON {
		if err := printJSON(cmd.OutOrStdout(), r); err != nil {
			return err
		}
	} else {
		text := fmt.Sprintf("job %s of %s/%s: the vendor accepted it; was %s, is %s", r.JobID, r.Source, r.RequestID, r.Before, cmp.Or(r.After, "not shown"))
		if r.Unclear != "" {
			text = fmt.Sprintf("job %s of %s/%s: it is not known whether the vendor accepted it (%s); was %s, is %s. Look again before you repeat it",
				r.JobID, r.Source, r.RequestID, r.Unclear, r.Before, cmp.Or(r.After, "not shown"))
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), text); err != nil {
			return err
		}
	}
	if r.Unclear != "" {
		return errSaid
	}
	return nil
}
