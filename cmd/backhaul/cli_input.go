package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/show"
	"backhaul/cmd/internal/timespan"
	"backhaul/publisher"
	"backhaul/schemas/bounded"
)

// maxInput is the largest input of a command, such as a file of requests.
const maxInput = 64 << 20

// readInput reads a file, or standard input if it is named -. A pipe is good, as of
// a process substitution; more than maxInput is refused.
func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	if name == "-" {
		return bounded.Read(cmd.InOrStdin(), maxInput)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := bounded.Read(f, maxInput)
	if _, large := errors.AsType[*bounded.SizeError](err); large {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return data, err
}

// noteMark notes a byte order mark, which is removed from a file and which the service refuses in a
// message: a file that is valid here may be published as it is.
func noteMark(w io.Writer, name string, data []byte) {
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		fmt.Fprintf(w, "note: %s: it begins with a byte order mark, save it as UTF-8 without one: the service refuses a message with it\n", show.Line(name))
	}
}

// filterValue is the value of a flag that selects. It refuses to be empty, as a variable of
// a script may be: without the filter more would be selected than was meant.
type filterValue struct {
	text  *string
	check func(string) error // nil accepts every text
}

func (v filterValue) String() string {
	if v.text == nil { // of pflag's own zero value
		return ""
	}
	return *v.text
}

func (v filterValue) Type() string { return "string" }

func (v filterValue) Set(text string) error {
	if text == "" {
		return errEmptyFilter
	}
	*v.text = text
	if v.check != nil {
		return v.check(text)
	}
	return nil
}

var errEmptyFilter = errors.New("it is empty; leave it out to select all")

// addFilter adds a flag that selects by a text.
func addFilter(cmd *cobra.Command, text *string, name, usage string) {
	cmd.Flags().Var(filterValue{text: text}, name, usage)
}

// addSourceFilter adds --source as a filter.
func addSourceFilter(cmd *cobra.Command, source *string) {
	cmd.Flags().Var(filterValue{text: source, check: publisher.CheckSource}, "source", "only requests of this `source`")
}

// addLabels adds --label, which gives a label each time.
func addLabels(cmd *cobra.Command, labels *map[string]string, usage string) {
	cmd.Flags().Var(labelsValue{labels}, "label", usage)
}

// labelsValue is the value of a flag that gives a label each time. What follows the first = is the
// label's value as it is, with its commas and quotes.
type labelsValue struct{ labels *map[string]string }

func (v labelsValue) String() string { return "" }
func (v labelsValue) Type() string   { return "string" }

func (v labelsValue) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("must be name=value")
	}
	if before, given := (*v.labels)[name]; given && before != value {
		return fmt.Errorf("the label %s has two values: %q and %q", name, before, value)
	}
	if *v.labels == nil {
		*v.labels = make(map[string]string)
	}
	(*v.labels)[name] = value
	return nil
}

// checkSource checks a --source that is not a filter. The error is a [*usageError].
func checkSource(source string) error {
	if err := publisher.CheckSource(source); err != nil {
		return &usageError{fmt.Errorf("--source: %w", err)}
	}
	return nil
}

// momentValue is the value of a flag that is a time or an age.
type momentValue struct{ at *time.Time }

func (v momentValue) String() string {
	if v.at == nil || v.at.IsZero() {
		return ""
	}
	return v.at.Format(time.RFC3339)
}

func (v momentValue) Type() string { return "string" }

func (v momentValue) Set(text string) (err error) {
	if text == "" {
		return errEmptyFilter
	}
	if age, err := timespan.Parse(text); err == nil {
		*v.at = time.Now().Add(-age)
		return nil
	}
	if *v.at, err = time.Parse(time.RFC3339, text); err != nil {
		return errors.New("it is neither an age such as 90m or 7d nor a time such as 2026-11-23T10:00:00Z")
	}
	return nil
}

// addMoment adds a flag that selects by a time, which may be given as an age.
func addMoment(cmd *cobra.Command, at *time.Time, name, usage string) {
	cmd.Flags().Var(momentValue{at}, name, usage)
}

// checkPeriod refuses --until before --since. The error is a [*usageError].
func checkPeriod(since, until time.Time) error {
	if !until.IsZero() && until.Before(since) {
		return &usageError{errors.New("--until is before --since")}
	}
	return nil
}

// readFileIDs returns the ids of the requests of a file that `backhaul request --file` has sent, and sets the
// source to that command's if none is given. The error is a [*usageError].
func readFileIDs(cmd *cobra.Command, name, batchName string, source *string) (map[string]bool, error) {
	data, err := readInput(cmd, name)
	if err != nil {
		return nil, &usageError{fmt.Errorf("--file: %w", err)}
	}
	file, err := batch.ReadFile(name, data, cmp.Or(batchName, filepath.Base(name)))
	if err != nil {
		return nil, &usageError{err}
	}
	*source = cmp.Or(*source, ownSource)
	ids := make(map[string]bool, len(file.Requests))
	for _, req := range file.Requests {
		ids[req.RequestID] = true
	}
	return ids, nil
}

// errBatchAlone refuses --batch without --file.
func errBatchAlone() error {
	return &usageError{errors.New("--batch goes with --file, the file that was sent: it is part of the ids of its requests")}
}
