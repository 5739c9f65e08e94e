package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/eventlog"
	"backhaul/publisher"
	"backhaul/schemas"
)

func newRequestCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "request",
		Short: "Publish backup requests",
		Long: `Publishes one request given by flags, or those of a file: JSON documents one
after another, such as NDJSON. All are checked before the first is sent. A request
without an id gets one. With --wait the outcomes are printed, and the exit code is
1 unless every job was started.`,
		Example: `  backhaul request --nats nats://127.0.0.1:4222 --client-name s-adhoc-object-storage --subclient-name stestgroup --wait
  backhaul request --nats nats://127.0.0.1:4222 --source billing --file requests.ndjson`,
		Args: cobra.NoArgs,
		RunE: runRequest,
	}
	flags := cmd.Flags()
	flags.String("source", "cli", "who asks: last token of the `subject`")
	flags.String("file", "", "`file` with requests, - for standard input")
	flags.Bool("wait", false, "wait for the outcomes")
	flags.Duration("timeout", 5*time.Minute, "how long to wait")
	for _, f := range requestFlags {
		if f.name == "ad-hoc-backup" {
			flags.Bool(f.name, false, f.usage)
		} else {
			flags.String(f.name, "", f.usage)
		}
	}
	flags.StringToString("label", nil, "labels, `name=value`")
	config.AddFlags(flags, config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd)
	return cmd
}

// requestFlags are the members of a request that can be given as flags.
var requestFlags = []struct{ name, member, usage string }{
	{"request-id", "requestId", "the request's own `id`; the same id is the same request"},
	{"client-name", "clientName", "object storage `client`"},
	{"instance-name", "instanceName", "`instance`, by default the client's name"},
	{"backupset-name", "backupsetName", "backup `set`, by default " + schemas.DefaultBackupsetName},
	{"subclient-name", "subclientName", "content `group`"},
	{"storage-policy-name", "storagePolicyName", "`plan`, by default the content group's own"},
	{"app-name", "appName", "`agent`, by default " + schemas.DefaultAppName},
	{"backup-level", "backupLevel", "`FULL|INCREMENTAL|DIFFERENTIAL|SYNTHETIC_FULL`, by default " + schemas.DefaultBackupLevel},
	{"ad-hoc-backup", "adHocBackup", "back up what the directive file lists, by default if there is one"},
	{"on-demand-input-file", "onDemandInputFile", "absolute `path` of the directive file"},
	{"not-after", "notAfter", "`time` after which no job is to be started"},
}

func runRequest(cmd *cobra.Command, _ []string) error {
	output, err := outputOf(cmd)
	if err != nil {
		return err
	}
	source, _ := cmd.Flags().GetString("source")
	if err := publisher.CheckSource(source); err != nil {
		return &usageError{fmt.Errorf("--source: %w", err)}
	}
	requests, err := readRequests(cmd)
	if err != nil {
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
	wait, _ := cmd.Flags().GetBool("wait")
	var sent []sentRequest
	for i, req := range requests {
		ack, err := pub.Request(cmd.Context(), source, req)
		if err != nil {
			return fmt.Errorf("%d of %d requests sent: %w", i, len(requests), err)
		}
		sent = append(sent, sentRequest{
			key: publisher.NewKey(source, req.RequestID), rejection: publisher.SequenceKey(source, ack.Sequence),
			hash: req.Hash(), duplicate: ack.Duplicate,
		})
		if !wait {
			printSent(cmd.OutOrStdout(), output, source, req, ack)
		}
	}
	if !wait {
		return nil
	}
	timeout, _ := cmd.Flags().GetDuration("timeout")
	ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
	defer cancel()
	return waitForJobs(ctx, cmd.OutOrStdout(), output, js, sent)
}

// sentRequest is a request whose outcome is waited for.
type sentRequest struct {
	key publisher.Key
	// rejection is the key under which its rejection would stand.
	rejection publisher.Key
	hash      string
	// duplicate: JetStream has stored a request with this id already, perhaps
	// with other content.
	duplicate bool
}

// settledBy tells whether an event is what this request was waited for, and
// whether it is a job.
func (r sentRequest) settledBy(e eventlog.Event) (settled, started bool) {
	switch {
	case e.Kind == schemas.KindRequestRejected && e.Key == r.rejection && !r.duplicate:
		return true, false
	case e.Key != r.key || !e.Kind.Terminal():
		return false, false
	case e.Data.Requested().PayloadHash == r.hash:
		return true, e.Kind == schemas.KindJobStarted
	default:
		// The first request with this id has its outcome. This one, if it was
		// stored, will be rejected; if it was not, nothing more will come.
		return r.duplicate, false
	}
}

// waitForJobs prints the outcomes and fails unless all are jobs.
func waitForJobs(ctx context.Context, w io.Writer, output string, js jetstream.JetStream, sent []sentRequest) error {
	q := eventlog.Query{Follow: true}
	if len(sent) == 1 {
		q.Filters = []string{sent[0].key.Filter(), sent[0].rejection.Filter()}
	}
	failed := false
	err := eventlog.Read(ctx, js, q, func(e eventlog.Event) error {
		before := len(sent)
		sent = slices.DeleteFunc(sent, func(r sentRequest) bool {
			settled, started := r.settledBy(e)
			failed = failed || settled && !started
			return settled
		})
		if len(sent) < before {
			if err := printEvent(w, output, e); err != nil {
				return err
			}
		}
		if len(sent) == 0 {
			return eventlog.ErrStop
		}
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%d requests have no outcome yet; they stay in the stream", len(sent))
	}
	if err == nil && failed {
		return errSaid
	}
	return err
}

func printSent(w io.Writer, output, source string, req schemas.BackupRequest, ack *jetstream.PubAck) {
	if output == outputJSON {
		line, _ := json.Marshal(map[string]any{
			"requestId": req.RequestID, "source": source, "sequence": ack.Sequence, "duplicate": ack.Duplicate,
		}, json.Deterministic(true))
		fmt.Fprintln(w, string(line))
		return
	}
	state := "sent"
	if ack.Duplicate {
		state = "sent before"
	}
	fmt.Fprintf(w, "%s  %s/%s  sequence %d\n", state, source, req.RequestID, ack.Sequence)
}

// readRequests takes the requests from the flags or the file.
func readRequests(cmd *cobra.Command) ([]schemas.BackupRequest, error) {
	file, _ := cmd.Flags().GetString("file")
	var requests []schemas.BackupRequest
	var err error
	if file == "" {
		requests, err = requestFromFlags(cmd)
	} else {
		if flag := firstRequestFlag(cmd); flag != "" {
			return nil, &usageError{fmt.Errorf("--%s does not go with --file", flag)}
		}
		requests, err = requestsFromFile(cmd, file)
	}
	if err != nil {
		return nil, err
	}
	for i := range requests {
		if requests[i].RequestID == "" {
			requests[i].RequestID = "cli-" + strings.ToLower(rand.Text())
		}
	}
	return requests, nil
}

func firstRequestFlag(cmd *cobra.Command) string {
	for _, f := range requestFlags {
		if cmd.Flags().Changed(f.name) {
			return f.name
		}
	}
	if cmd.Flags().Changed("label") {
		return "label"
	}
	return ""
}

// requestFromFlags makes the JSON that a publisher would send and reads it as
// any other request.
func requestFromFlags(cmd *cobra.Command) ([]schemas.BackupRequest, error) {
	members := make(map[string]any)
	for _, f := range requestFlags {
		switch flag := cmd.Flags().Lookup(f.name); {
		case !flag.Changed:
		case flag.Value.Type() == "bool":
			members[f.member] = flag.Value.String() == "true"
		default:
			members[f.member] = flag.Value.String()
		}
	}
	if labels, _ := cmd.Flags().GetStringToString("label"); len(labels) > 0 {
		members["labels"] = labels
	}
	data, err := json.Marshal(members)
	if err != nil {
		return nil, &usageError{err}
	}
	m, err := schemas.DecodeRequest(nil, data)
	if err != nil {
		return nil, &usageError{err}
	}
	return []schemas.BackupRequest{m.Request}, nil
}

func requestsFromFile(cmd *cobra.Command, name string) ([]schemas.BackupRequest, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = io.ReadAll(cmd.InOrStdin())
	} else {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, &usageError{err}
	}
	var requests []schemas.BackupRequest
	var faults []error
	dec := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		value, err := dec.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		line := 1 + bytes.Count(data[:dec.InputOffset()-int64(len(value))], []byte("\n"))
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, line, err))
			break
		}
		m, err := schemas.DecodeRequest(nil, value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", name, line, err))
		}
		requests = append(requests, m.Request)
	}
	if len(requests) == 0 && len(faults) == 0 {
		faults = append(faults, fmt.Errorf("%s: no request in it", name))
	}
	if len(faults) > 0 {
		return nil, &usageError{errors.Join(faults...)}
	}
	return requests, nil
}
