package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// columns are those of the CSV report. A group has a line for each breach, and one line if it has
// none.
var columns = []string{
	"client", "instance", "backupset", "content_group", "objective", "owner", "rpo_seconds", "max_age_seconds", "from", "to", "known_seconds", "kept_seconds", "share",
	"promise", "breach_from", "breach_until", "breach_seconds", "begun_before", "lasts", "counted_from", "why", "event_sequences", "event_ids",
}

// CSV writes the report as RFC 4180 has it.
func (r *Report) CSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(columns); err != nil {
		return err
	}
	for i := range r.Groups {
		g := &r.Groups[i]
		share := ""
		if g.Share != nil {
			share = strconv.FormatFloat(*g.Share, 'f', 6, 64)
		}
		line := []string{
			g.Client, g.Instance, g.Backupset, g.Subclient, g.Objective, g.Owner, strconv.FormatInt(g.RPOSeconds, 10), strconv.FormatInt(g.MaxAgeSeconds, 10),
			stamp(r.From), stamp(r.To), seconds(g.KnownSeconds), seconds(g.KeptSeconds), share,
		}
		if len(g.Breaches) == 0 {
			if err := out.Write(plain(append(line, make([]string, len(columns)-len(line))...))); err != nil {
				return err
			}
		}
		for _, b := range g.Breaches {
			if err := out.Write(plain(append(line[:len(line):len(line)], b.columns()...))); err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func (b *Breach) columns() []string {
	var sequences, ids []string
	for _, e := range b.Events {
		sequences = append(sequences, strconv.FormatUint(e.Sequence, 10))
		if e.ID != "" {
			ids = append(ids, e.ID)
		}
	}
	return []string{
		string(b.Promise), stamp(b.From), stamp(b.Until), seconds(b.Seconds), fmt.Sprint(b.Begun), fmt.Sprint(b.Lasts), stamp(b.Base), string(b.Why),
		strings.Join(sequences, " "), strings.Join(ids, " "),
	}
}

// plain keeps a spreadsheet from taking a text for a formula: names come from requests.
func plain(line []string) []string {
	for i, text := range line {
		if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
			line[i] = "'" + text
		}
	}
	return line
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}

func seconds(s float64) string { return strconv.FormatFloat(s, 'f', 3, 64) }
