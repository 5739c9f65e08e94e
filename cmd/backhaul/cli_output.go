package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/show"
)

// Ways to print.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// outputValue is the value of --output.
type outputValue string

func (v *outputValue) String() string { return string(*v) }
func (v *outputValue) Type() string   { return "string" }

func (v *outputValue) Set(text string) error {
	if text != outputTable && text != outputJSON {
		return fmt.Errorf("must be %s or %s", outputTable, outputJSON)
	}
	*v = outputValue(text)
	return nil
}

// addOutputFlag adds --output, whose value is one of the constants.
func addOutputFlag(cmd *cobra.Command, output *string) {
	*output = outputTable
	cmd.Flags().VarP((*outputValue)(output), "output", "o", "`table|json`")
}

// printJSON writes one document as a line.
func printJSON(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", line)
	return err
}

// table writes rows with their columns under each other, and nothing in them that a
// terminal would obey.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

func (t table) row(columns ...string) {
	last := len(columns) - 1
	for i := range columns {
		if i < last {
			columns[i] = show.Cell(columns[i])
		} else {
			columns[i] = show.Line(columns[i])
		}
	}
	fmt.Fprintln(t.w, strings.TrimRight(strings.Join(columns, "\t"), "\t "))
}

func (t table) flush() error { return t.w.Flush() }

// stamp returns a time for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ago returns an age for people: its two largest units.
func ago(d time.Duration) string {
	d = d.Truncate(time.Second)
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return d.String()
}

// problems is what a check of settings or of a file finds wrong, as JSON.
type problems struct {
	OK       bool     `json:"ok"`
	Problems []string `json:"problems"`
}

// sayProblems returns err; with JSON it prints what is wrong on standard output as well.
func sayProblems(cmd *cobra.Command, output string, err error) error {
	wrong, ok := errors.AsType[*config.Error](err)
	if output != outputJSON || !ok {
		return err
	}
	return errors.Join(err, printJSON(cmd.OutOrStdout(), problems{Problems: wrong.Problems}))
}

// dash returns s, or "-" in place of an empty text.
func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// short returns a duration without parts that are zero: 5m, not 5m0s.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
