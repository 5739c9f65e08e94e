package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
	"backhaul/schemas/bounded"
)

// verifyFlags are those of `backhaul verify`.
type verifyFlags struct {
	checkpoints []string
	output      string
}

func newVerifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify [DIR|s3://BUCKET/PREFIX|proof.json]",
		Short: "Verify an archive of events, or a proof",
		Long: `Reads a whole archive: every event against its hash, the tree against the signed
checkpoint, the earlier checkpoints that were published against the tree, sequences
against those before, and the events against the rules of the ledger (one outcome for
a request, epochs that rise, an end only of a job that was started). It names each
event that does not fit, and lists the gaps, and where times of the server go back.

With a proof of "backhaul prove" it verifies that, without the archive.

The public key must come from who made it. --checkpoint takes a checkpoint that was
kept elsewhere, such as the note of an event "sealed": an archive that was cut back or
made anew with the same key does not fit it.

The exit code is 0 if all is well and 1 if anything is not as it was signed.`,
		Example: `  backhaul verify /var/lib/backhaul/archive --archive-public-key archive.key.pub
  backhaul verify proof.json --archive-public-key archive.key.pub`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runVerify(cmd, args, f) },
	}
	cmd.Flags().StringArrayVar(&f.checkpoints, "checkpoint", nil, "`file` with a checkpoint of the archive that was kept elsewhere; may be repeated")
	config.AddFlags(cmd.Flags(), config.GroupArchive, config.GroupLog)
	hideFlags(cmd, "archive") // the argument
	addOutputFlag(cmd, &f.output)
	return cmd
}

func runVerify(cmd *cobra.Command, args []string, f verifyFlags) error {
	cfg, _, err := load(cmd)
	if err != nil {
		return err
	}
	if len(args) > 0 {
		cfg.Archive.Location = args[0]
	}
	keys, err := cfg.Archive.Keys()
	if err != nil {
		return &config.Error{Problems: []string{err.Error()}}
	}
	if info, err := os.Stat(cfg.Archive.Location); err == nil && info.Mode().IsRegular() {
		return verifyProof(cmd, cfg.Archive.Location, keys, f.output)
	}
	store, err := cfg.Archive.Store()
	if err != nil {
		return &config.Error{Problems: []string{err.Error()}}
	}
	var witnesses []archive.Checkpoint
	for _, name := range f.checkpoints {
		data, err := bounded.ReadFile(name, bounded.Small)
		if err != nil {
			return err
		}
		c, err := archive.OpenCheckpoint(data, keys)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		witnesses = append(witnesses, c)
	}
	reader, err := archive.NewReader(cmd.Context(), store, keys)
	if err != nil {
		return err
	}
	began := time.Now()
	report, err := archive.Verify(cmd.Context(), reader, keys, witnesses)
	if err != nil {
		return err
	}
	if f.output == outputJSON {
		err = printJSON(cmd.OutOrStdout(), verifiedOf(report))
	} else {
		err = printReport(cmd, report, len(witnesses), time.Since(began))
	}
	if err == nil && len(report.Problems) > 0 {
		err = errSaid
	}
	return err
}

// verified is a report as JSON.
type verified struct {
	OK          bool          `json:"ok"`
	Log         string        `json:"log"`
	Leaves      int64         `json:"leaves"`
	RootHash    string        `json:"rootHash"`
	Events      int64         `json:"events"`
	First       *time.Time    `json:"first,omitempty"`
	Until       *time.Time    `json:"until,omitempty"`
	Next        uint64        `json:"next"`
	Gaps        []archive.Gap `json:"gaps"`
	Streams     int           `json:"streams"`
	Checkpoints int           `json:"checkpoints"`
	Unknown     int64         `json:"unknown"`
	// ClockSteps are some of the events that were stored before the one before them.
	ClockSteps []archive.ClockStep `json:"clockSteps"`
	Backwards  int64               `json:"backwards"`
	Problems   []archive.Problem   `json:"problems"`
	More       int64               `json:"moreProblems,omitzero"`
}

func verifiedOf(r *archive.Report) verified {
	v := verified{
		OK: len(r.Problems) == 0, Log: r.Checkpoint.Origin, Leaves: r.Checkpoint.N, RootHash: r.Checkpoint.Hash.String(), Events: r.Events,
		Next: r.Checkpoint.Place.Next, Gaps: slices.Concat([]archive.Gap{}, r.Gaps), Streams: len(r.Streams), Checkpoints: r.Checkpoints, Unknown: r.Unknown, ClockSteps: slices.Concat([]archive.ClockStep{}, r.ClockSteps), Backwards: r.Backwards,
		Problems: slices.Concat([]archive.Problem{}, r.Problems), More: r.More,
	}
	if !r.First.IsZero() {
		v.First, v.Until = &r.First, &r.Last
	}
	return v
}

// maxSteps is how many steps of a clock are printed.
const maxSteps = 10

func printReport(cmd *cobra.Command, r *archive.Report, witnesses int, took time.Duration) error {
	w := cmd.OutOrStdout()
	for _, p := range r.Problems {
		fmt.Fprintf(w, "%s\n", show.Line("PROBLEM  "+p.String()))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "PROBLEM  and %d more\n", r.More)
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(w, "gap      events %d to %d were lost before they could be archived\n", g.First, g.Last)
	}
	for _, s := range r.Streams[min(1, len(r.Streams)):] {
		fmt.Fprintf(w, "stream   leaf %d: the events that follow are of %s as it was made on %s, from event %d on\n", s.Leaf, s.Stream, s.Created.UTC().Format(time.RFC3339), s.Next)
	}
	for _, s := range r.ClockSteps[:min(maxSteps, len(r.ClockSteps))] {
		fmt.Fprintf(w, "clock    event %d was stored on %s, %s before the one before it: a clock was set back, or another NATS server became the leader\n", s.Event, s.Stored.UTC().Format(time.RFC3339Nano), s.Back)
	}
	if more := r.Backwards - maxSteps; more > 0 {
		fmt.Fprintf(w, "clock    and %d times more\n", more)
	}
	if r.Unknown > 0 {
		fmt.Fprintf(w, "unknown  %d events refer to what may be in a gap\n", r.Unknown)
	}
	if r.Events > 0 {
		fmt.Fprintf(w, "events   %d, from %s to %s; event %d is the next one\n", r.Events, r.First.UTC().Format(time.RFC3339), r.Last.UTC().Format(time.RFC3339), r.Checkpoint.Place.Next)
	}
	fmt.Fprintf(w, "tree     %s, %d leaves, root %s; compared with %d earlier checkpoints and %d that were given\n", r.Checkpoint.Origin, r.Checkpoint.N, r.Checkpoint.Hash, r.Checkpoints, witnesses)
	if len(r.Problems) > 0 {
		_, err := fmt.Fprintln(w, "NOT AS IT WAS SIGNED")
		return err
	}
	_, err := fmt.Fprintf(w, "verified in %s\n", short(took.Round(time.Millisecond)))
	return err
}

func verifyProof(cmd *cobra.Command, name string, keys archive.Keys, output string) error {
	data, err := bounded.ReadFile(name, maxProof)
	if err != nil {
		return err
	}
	proof, err := archive.DecodeProof(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	messages, checkpoint, err := proof.Check(keys)
	if err != nil {
		return fmt.Errorf("%s: not proven: %w", name, err)
	}
	w := cmd.OutOrStdout()
	for _, m := range messages {
		text := m.Subject
		if key, event, err := publisher.ReadEvent(m.Subject, m.Header, m.Data); err == nil {
			text = fmt.Sprintf("%-16s  %s  %s", event.Kind(), key, history.Line(event))
		}
		if output == outputJSON {
			err = printJSON(w, struct {
				Sequence uint64    `json:"sequence"`
				Stored   time.Time `json:"stored"`
				Subject  string    `json:"subject"`
				Data     string    `json:"data"`
			}{m.Sequence, m.Time, m.Subject, string(m.Data)})
		} else {
			_, err = fmt.Fprintln(w, show.Line(fmt.Sprintf("%d  %s  %s", m.Sequence, m.Time.UTC().Format(time.RFC3339), text)))
		}
		if err != nil {
			return err
		}
	}
	if output == outputJSON {
		return nil
	}
	_, err = fmt.Fprintf(w, "proven: these %d events are in the archive %s, among the first %d leaves\n", len(messages), checkpoint.Origin, checkpoint.N)
	return err
}

// maxProof is far above the proof of any request.
const maxProof = 64 << 20

// proveFlags are those of `backhaul prove`.
type proveFlags struct{ source, out string }

func newProveCommand() *cobra.Command {
	var f proveFlags
	cmd := &cobra.Command{
		Use:   "prove REQUEST",
		Short: "Make a proof of the events of a request, to be verified without the archive",
		Long: `Writes a proof of every event of a request that the archive has: the events as they
are stored, the signed checkpoint, and the hashes that lead from one to the other.
"backhaul verify" checks it with the public key alone. It shows these events, and
nothing of the others.

The request is its id, as "backhaul events" shows it. If several sources have used it,
--source chooses one. The whole archive is read for it.`,
		Example: `  backhaul prove inv-2026-11-23-0007 -o proof.json --archive /var/lib/backhaul/archive --archive-public-key archive.key.pub`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runProve(cmd, args[0], f) },
	}
	addSourceFilter(cmd, &f.source)
	cmd.Flags().StringVarP(&f.out, "out", "o", "-", "`file` for the proof, - for the output")
	config.AddFlags(cmd.Flags(), config.GroupArchive, config.GroupLog)
	return cmd
}

func runProve(cmd *cobra.Command, request string, f proveFlags) error {
	reader, err := openArchive(cmd)
	if err != nil {
		return err
	}
	names := history.Names(request)
	proof, err := archive.Prove(cmd.Context(), reader, func(key publisher.Key) bool {
		return slices.Contains(names, key.Name) && (f.source == "" || key.Source == f.source)
	})
	if err != nil {
		return err
	}
	if len(proof.Requests) > 1 {
		return fmt.Errorf("several requests have the id %s: %s; choose one with --source", request, proof.Requests)
	}
	if f.out == "-" {
		return printJSON(cmd.OutOrStdout(), proof)
	}
	out, err := os.Create(f.out)
	if err != nil {
		return err
	}
	if err := errors.Join(printJSON(out, proof), out.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "proof of %d events of %s in %s\n", len(proof.Events), proof.Requests[0], f.out)
	return err
}

// openArchive opens the archive of the settings to read it.
func openArchive(cmd *cobra.Command) (*archive.Reader, error) {
	cfg, _, err := load(cmd)
	if err != nil {
		return nil, err
	}
	keys, err := cfg.Archive.Keys()
	if err != nil {
		return nil, &config.Error{Problems: []string{err.Error()}}
	}
	store, err := cfg.Archive.Store()
	if err != nil {
		return nil, &config.Error{Problems: []string{err.Error()}}
	}
	return archive.NewReader(cmd.Context(), store, keys)
}
