package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"backhaul/cmd/internal/show"
)

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

// stamp is a time for people.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// ago is an age for people: its two largest units.
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

// size is a number of bytes for people.
func size(n uint64) string {
	const kibi = 1024
	if n < kibi {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/kibi, 0
	for value >= kibi && unit < 3 {
		value /= kibi
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[unit])
}
