package main

import (
	"fmt"
	"io"
	"os"

	"github.com/go-json-experiment/json"
	"github.com/mattn/go-isatty"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/eventlog"
	"backhaul/schemas"
)

// requestReport prints what becomes of a batch: outcomes to standard output,
// everything else to standard error.
type requestReport struct {
	out, errs io.Writer
	output    string
	batch     batch.Batch
	file      batch.File
	quiet     bool
	bar       *requestBar // nil without one
}

func newRequestReport(cmd *cobra.Command, output string, b batch.Batch, file batch.File) *requestReport {
	r := &requestReport{out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(), output: output, batch: b, file: file}
	r.quiet, _ = cmd.Flags().GetBool("quiet")
	if !r.quiet && r.ofFile() && isTerminal(r.errs) {
		r.bar = newRequestBar(r.errs, isTerminal(r.out), b)
	}
	if file.Merged > 0 {
		r.note("%d requests of the file repeat an earlier one with the same id; each is sent once", file.Merged)
	}
	return r
}

// ofFile tells whether this is a batch rather than one request.
func (r *requestReport) ofFile() bool { return r.batch.Resume }

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	return ok && isatty.IsTerminal(file.Fd())
}

func (r *requestReport) note(format string, args ...any) {
	if r.quiet {
		return
	}
	r.bar.clear()
	fmt.Fprintf(r.errs, "backhaul: "+format+"\n", args...)
}

// Sent prints where the request is, unless its outcome will be printed.
func (r *requestReport) Sent(req schemas.BackupRequest, ack *jetstream.PubAck) error {
	if r.batch.Wait {
		return nil
	}
	state := "sent"
	if ack.Duplicate {
		state = "sent before"
	}
	return r.line(fmt.Sprintf("%s  %s/%s  sequence %d", state, r.batch.Source, req.RequestID, ack.Sequence), map[string]any{
		"requestId": req.RequestID, "source": r.batch.Source, "sequence": ack.Sequence, "duplicate": ack.Duplicate,
	})
}

// Known prints the outcome of what was not sent.
func (r *requestReport) Known(req schemas.BackupRequest, e eventlog.Event) error {
	return r.line(fmt.Sprintf("done before  %s/%s  %s, %s", r.batch.Source, req.RequestID, e.Kind, gist(e.Data)), map[string]any{
		"requestId": req.RequestID, "source": r.batch.Source, "duplicate": true, "outcome": e.Kind,
	})
}

// Outcome prints the event.
func (r *requestReport) Outcome(e eventlog.Event) error {
	r.bar.makeRoom()
	return printEvent(r.out, r.output, e)
}

// Taken says why a request has no event of its own.
func (r *requestReport) Taken(req schemas.BackupRequest) error {
	r.bar.clear()
	_, err := fmt.Fprintf(r.errs, "backhaul: %s/%s was not stored: its id is that of another request, with other content\n", r.batch.Source, req.RequestID)
	return err
}

// Unreadable says that nothing can be looked up.
func (r *requestReport) Unreadable(err error) {
	r.note("outcomes cannot be looked up, so every request is sent; what was sent before is found out by the service: %v", err)
}

// Progress moves the bar.
func (r *requestReport) Progress(s batch.Summary) { r.bar.show(s) }

// line prints one line in either form.
func (r *requestReport) line(text string, members map[string]any) error {
	if r.output == outputJSON {
		line, err := json.Marshal(members, json.Deterministic(true))
		if err != nil {
			return err
		}
		text = string(line)
	}
	r.bar.makeRoom()
	_, err := fmt.Fprintln(r.out, text)
	return err
}

// end prints the summary of a batch.
func (r *requestReport) end(s batch.Summary) {
	r.bar.clear()
	if !r.ofFile() {
		return
	}
	if r.output == outputJSON {
		line, _ := json.Marshal(map[string]any{"summary": s}, json.Deterministic(true))
		fmt.Fprintln(r.out, string(line))
	} else if !r.quiet {
		fmt.Fprintln(r.errs, s)
	}
	if s.Known > 0 && r.file.Derived > 0 {
		r.note("requests without an id are the same in every run of a batch; to ask for them again, give another --batch")
	}
}
