package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher"
)

// requestFlags are those of `backhaul request`, without the members of the request.
type requestFlags struct {
	source, priority  string
	file, batch, rate string
	wait              waitFlag
	timeout           time.Duration
	dryRun, quiet     bool
	labels            map[string]string
	output            string
}

// ownSource is the source of requests that `backhaul request` sends, unless --source says another.
const ownSource = "cli"

func newRequestCommand() *cobra.Command {
	var f requestFlags
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Publish backup requests",
		Long: `Publishes one request given by flags, or those of a file: JSON documents one
after another, such as NDJSON. All of them are checked before the first is sent;
the same id with other content is a fault of the file.

A batch can be ended at any moment, even by kill -9, and run again with the same
file: every request is done exactly once. What has its outcome is not sent again,
and what is sent again is dropped by JetStream or answered from the ledger.

A request without an id gets one. Given by flags, it is a random one: the same
command run again asks for another backup, unless it has --request-id. The error
about a request that was not confirmed names its id. In a file the id is made of
the name of the batch (--batch, by default the file's name), the request's content
and how often the same content stood before it. So the same file asks for the same
backups however often it is run. To ask for all of them again, give another
--batch, such as --batch "$(date +%F)".

With --wait the outcomes are printed: a job was started, or none will be. With
--wait=finished the end of every job is waited for and printed as well. With a
file, a summary follows: on standard error, or with --output json as the last line,
{"summary":{…}}.

Exit codes: 0 all were sent, with --wait every job was started, and with
--wait=finished every job kept all of its data (completed, or completed with
warnings); 1 not so, or some have no outcome or end in time; 2 the command line or
the file is wrong and nothing was sent; 3 NATS is out of reach; 130 interrupted.`,
		Example: `  backhaul request --nats nats://127.0.0.1:4222 --client-name s-adhoc-object-storage --subclient-name stestgroup --wait
  backhaul request --nats nats://127.0.0.1:4222 --source billing --file requests.ndjson --wait --rate 50/s
  backhaul request --nats nats://127.0.0.1:4222 --client-name s-adhoc-object-storage --subclient-name stestgroup --wait=finished --timeout 6h
  backhaul request --file requests.ndjson --dry-run --output json`,
		Args: noArgsOfWait,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRequest(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", ownSource, "who asks: a token of the `subject`")
	flags.StringVar(&f.priority, "priority", publisher.Normal.Name(), "which is started first while starts are scarce: `high|normal|low`")
	flags.StringVar(&f.file, "file", "", "`file` with requests, - for standard input")
	flags.StringVar(&f.batch, "batch", "", "`name` that goes into the ids of the file's requests without one, by default the file's")
	flags.StringVar(&f.rate, "rate", "", "most requests to send, `N/s`, N/m or N/h")
	flags.Var(&f.wait, "wait", "wait for the outcomes, or with =finished for the ends of the jobs: `started|finished`")
	flagOf(cmd, "wait").NoOptDefVal = waitStarted
	flags.DurationVar(&f.timeout, "timeout", 5*time.Minute, "how long to wait for outcomes after the last request was sent (with --wait=finished 24h by default), and for a server that does not answer")
	flags.BoolVar(&f.dryRun, "dry-run", false, "send nothing; show the messages, and what would be sent to the vendor for each")
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "no progress bar, notes and summary on standard error")
	addMemberFlags(cmd)
	addLabels(cmd, &f.labels, "labels, `name=value`")
	config.AddFlag(flags, "vendor-format", "for --dry-run, how CreateTask is written: `xml|json`")
	config.AddFlags(flags, config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &f.output)
	return cmd
}

func runRequest(cmd *cobra.Command, f requestFlags) error {
	b, err := f.batchOf()
	if err != nil {
		return err
	}
	if b.Wait == batch.WaitFinished && !flagOf(cmd, "timeout").Changed {
		b.EndTimeout = endTimeout
	}
	file, err := readRequests(cmd, f)
	if err != nil {
		return err
	}
	b.Requests = file.Requests
	if f.dryRun {
		return showRequests(cmd, f, b)
	}
	nc, js, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer unlogged(nc)() // the report says them
	if b.Wait == batch.WaitFinished && !f.quiet {
		sayUnfollowed(cmd, nc)
	}
	report := newRequestReport(cmd, f, b, file)
	report.sayPaused(cmd.Context(), js)
	summary, err := batch.Run(cmd.Context(), nc, js, b, report)
	report.end(summary)
	if summary.NotSent > 0 && nc.IsConnected() {
		err = notStored(err)
	}
	if report.usedUp && publisher.StorageUsedUp(err) {
		err = errStillUsedUp // the report has the cause and the way out
	}
	return requestError(cmd.Context(), b, summary, err)
}

// batchOf returns the batch that the flags describe, without its requests. The error is a
// [*usageError].
func (f requestFlags) batchOf() (b batch.Batch, err error) {
	b = batch.Batch{Source: f.source, Timeout: f.timeout, Wait: f.wait.of(), Resume: f.file != ""}
	if err := checkSource(f.source); err != nil {
		return b, err
	}
	if b.Priority, err = publisher.ParsePriority(f.priority); err != nil {
		return b, &usageError{fmt.Errorf("--priority: %w", err)}
	}
	if b.Rate, err = parseRate(f.rate); err != nil {
		return b, err
	}
	if f.timeout <= 0 {
		return b, &usageError{errors.New("--timeout must be above 0")}
	}
	return b, nil
}

// errStillUsedUp is the error after [requestReport.Waiting] has said that the storage is used up.
var errStillUsedUp = errors.New("the storage is still used up")

// notStored adds the way out to an error that a server which is connected does not confirm what it is sent.
func notStored(err error) error {
	if errors.Is(err, nats.ErrTimeout) || errors.Is(err, jetstream.ErrAsyncPublishTimeout) {
		return fmt.Errorf("%w: %s", err, publisher.SilenceHint)
	}
	return err
}

// requestError says how a batch ended, and how to go on.
func requestError(ctx context.Context, b batch.Batch, s batch.Summary, err error) error {
	missing, noOutcome := errors.AsType[*batch.NoOutcomeError](err)
	goOn := "run the same command again to go on, nothing is done twice"
	if !b.Resume {
		// Its id may be random: without it, the same command is another request.
		goOn = fmt.Sprintf("run the same command again with --request-id %s to go on, nothing is done twice", quoted(b.Requests[0].RequestID))
	}
	switch {
	case err == nil && s.Succeeded():
		return nil
	case err == nil:
		return errSaid // the outcomes and the summary say it
	case noOutcome && missing.Started > 0:
		return fmt.Errorf("%w; their jobs are not affected; %s", missing, goOn)
	case noOutcome:
		return fmt.Errorf("%w; they stay in the stream; %s", missing, goOn)
	case ctx.Err() != nil && s.NotSent == 0 && s.Ends != nil:
		return fmt.Errorf("interrupted, %d of %d requests have no end on record yet; their jobs are not affected; %s", s.Ends.None, s.Requests, goOn)
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted, %d of %d requests are not confirmed; %s", s.NotSent, s.Requests, goOn)
	case errors.Is(err, nats.ErrPermissionViolation) && s.NotSent == 0:
		return fmt.Errorf("the requests are stored, and their outcomes cannot be read: %w, or connect as a user that has it; then %s", natsconn.Explained(err), goOn)
	case errors.Is(err, nats.ErrPermissionViolation):
		return fmt.Errorf("%d of %d requests are not confirmed: %w, or connect as a user that has it; then %s", s.NotSent, s.Requests, natsconn.Explained(err), goOn)
	default:
		return fmt.Errorf("%d of %d requests are not confirmed: %w; %s", s.NotSent, s.Requests, natsconn.Explained(err), goOn)
	}
}

// plain is text that a shell takes as it is.
var plain = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// quoted is text as a word for a shell.
func quoted(text string) string {
	if plain.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
