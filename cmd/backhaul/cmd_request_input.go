package main

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"backhaul/cmd/internal/batch"
	"backhaul/schemas"
)

// memberFlags are the flags that give a member of a request.
var memberFlags = []struct{ name, member, usage string }{
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

func addMemberFlags(cmd *cobra.Command) {
	for _, f := range memberFlags {
		if f.member == "adHocBackup" {
			cmd.Flags().Bool(f.name, false, f.usage)
		} else {
			cmd.Flags().String(f.name, "", f.usage)
		}
	}
}

// readRequests takes the requests from the flags or the file.
func readRequests(cmd *cobra.Command, f requestFlags) (batch.File, error) {
	if f.file == "" {
		if flagOf(cmd, "batch").Changed {
			return batch.File{}, &usageError{fmt.Errorf("--batch goes with --file")}
		}
		req, err := requestFromFlags(cmd, f.labels)
		if err == nil && req.RequestID == "" {
			req.RequestID = "cli-" + strings.ToLower(rand.Text())
		}
		return batch.File{Requests: []schemas.BackupRequest{req}}, err
	}
	if flag := firstRequestFlag(cmd); flag != "" {
		return batch.File{}, &usageError{fmt.Errorf("--%s does not go with --file", flag)}
	}
	data, err := readInput(cmd, f.file)
	if err != nil {
		return batch.File{}, &usageError{err}
	}
	if !f.quiet {
		noteMark(cmd.ErrOrStderr(), f.file, data)
	}
	file, err := batch.ReadFile(f.file, data, cmp.Or(f.batch, filepath.Base(f.file)))
	if err != nil {
		return batch.File{}, &usageError{err}
	}
	return file, nil
}

func firstRequestFlag(cmd *cobra.Command) string {
	for _, f := range memberFlags {
		if flagOf(cmd, f.name).Changed {
			return f.name
		}
	}
	if flagOf(cmd, "label").Changed {
		return "label"
	}
	return ""
}

// requestFromFlags makes the JSON that a publisher would send and reads it as
// any other request.
func requestFromFlags(cmd *cobra.Command, labels map[string]string) (schemas.BackupRequest, error) {
	members := make(map[string]any)
	for _, f := range memberFlags {
		switch flag := flagOf(cmd, f.name); {
		case !flag.Changed:
		case flag.Value.Type() == "bool":
			members[f.member] = flag.Value.String() == "true"
		default:
			members[f.member] = flag.Value.String()
		}
	}
	if len(labels) > 0 {
		members["labels"] = labels
	}
	data, err := json.Marshal(members)
	if err != nil {
		return schemas.BackupRequest{}, &usageError{err}
	}
	m, err := schemas.DecodeRequest(nil, data)
	if err != nil {
		return schemas.BackupRequest{}, &usageError{err}
	}
	return m.Request, nil
}

// parseRate reads a limit such as "50/s", "100/h" or "50", which is per second.
func parseRate(text string) (rate.Limit, error) {
	if text == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	per, known := map[string]float64{"": 1, "s": 1, "m": 60, "h": 3600}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || !known || !(n > 0) || n > 1e9 {
		return 0, &usageError{fmt.Errorf("--rate is %q, must be a number above 0 and a unit, such as 50/s, 300/m or 100/h", text)}
	}
	return rate.Limit(n / per), nil
}
