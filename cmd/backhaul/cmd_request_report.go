package main

import (
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
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
	outcome   time.Time   // when the last outcome was stored
	usedUp    bool        // a note says that the storage of the server or account is used up
}

func newRequestReport(cmd *cobra.Command, f requestFlags, b batch.Batch, file batch.File) *requestReport {
	r := &requestReport{out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(), output: f.output, quiet: f.quiet, batch: b, file: file}
	if !r.quiet && r.ofFile() && isTerminal(r.errs) {
		r.bar = newRequestBar(r.errs, isTerminal(r.out), b)
	}
	if file.Merged > 0 {
		r.note("%d requests of the file repeat an earlier one with the same id; each is sent once", file.Merged)
	}
	return r
}

// ofFile reports whether this is a batch rather than one request.
func (r *requestReport) ofFile() bool { return r.batch.Resume }

func isTerminal(w io.Writer) bool {
	file, ok := w.(interface{ Fd() uintptr })
	return ok && isatty.IsTerminal(file.Fd())
}

func (r *requestReport) note(format string, args ...any) {
	if r.quiet {
		return
	}
	r.bar.clear()
	fmt.Fprintf(r.errs, "backhaul: %s\n", show.Line(fmt.Sprintf(format, args...)))
}

// Request prints what has become of a request. Where it is, is of interest only
// while its outcome is not waited for.
func (r *requestReport) Request(req schemas.BackupRequest, n batch.News) error {
	name := r.batch.Source + "/" + req.RequestID
	members := map[string]any{"requestId": req.RequestID, "source": r.batch.Source}
	switch wait := r.batch.Wait != batch.WaitNothing; {
	case n.End != nil:
		r.bar.makeRoom()
		return printEvent(r.out, r.output, *n.End)
	case wait && n.Ack != nil:
		return nil
	case wait:
		r.bar.makeRoom()
		r.outcome = n.Outcome.Stored
		return printEvent(r.out, r.output, *n.Outcome)
	case n.Outcome != nil:
		members["duplicate"], members["outcome"] = true, n.Outcome.Kind
		return r.line(fmt.Sprintf("done before  %s  %s, %s", name, n.Outcome.Kind, history.Line(n.Outcome.Data)), members)
	}
	members["duplicate"], members["sequence"] = false, n.Ack.Sequence
	return r.line(fmt.Sprintf("sent  %s  sequence %d", name, n.Ack.Sequence), members)
}

// Unreadable says that nothing can be looked up.
func (r *requestReport) Unreadable(err error) {
	r.note("outcomes cannot be looked up, so every request is sent; what was sent before is found out by the service: %v", err)
}

// Waiting says why a request is published again.
func (r *requestReport) Waiting(err error) {
	r.note("not stored yet, trying again: %v", natsconn.Explained(err))
	r.usedUp = !r.quiet && publisher.StorageUsedUp(err)
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
	} else {
		text = show.Line(text)
	}
	r.bar.makeRoom()
	_, err := fmt.Fprintln(r.out, text)
	return err
}

// end prints the summary of a batch.
func (r *requestReport) end(s batch.Summary) {
	r.bar.clear()
	if !r.ofFile() {
		if s.Known > 0 && r.batch.Wait != batch.WaitNothing {
			r.note("this outcome is on record since %s, and nothing was sent; for another backup give another --request-id", stamp(r.outcome))
		}
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
