package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/show"
	"backhaul/consumer/trigger"
	"backhaul/schemas"
)

func newTriggerExplainCommand() *cobra.Command {
	var headers []string
	var output, subject string
	cmd := &cobra.Command{
		Use:   "explain FILE...",
		Short: "Show what the trigger would do with notifications",
		Long: `Reads notifications of object stores from files or from standard input (-), each
JSON document as the payload of one message, and prints for every change in them what
it is, where it leads and why. Nothing is sent. The exit code is 1 if a notification
cannot be understood.`,
		Example: `  backhaul trigger explain notification.json --routes routes.yaml
  nats sub --raw --count 1 'storage.event.>' | backhaul trigger explain - --routes routes.yaml
  backhaul trigger explain data.json --routes routes.yaml --header ce-specversion:1.0 --header ce-type:Microsoft.Storage.BlobCreated --header ce-subject:/blobServices/default/containers/c/blobs/b`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("give at least one FILE, or - for standard input")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, files []string) error {
			return runTriggerExplain(cmd, files, subject, headers, output)
		},
	}
	cmd.Flags().StringVar(&subject, "subject", "storage.event.file", "subject on which the notifications are published")
	cmd.Flags().StringArrayVarP(&headers, "header", "H", nil, "header of every message, `name:value`; for CloudEvents in binary mode")
	addTriggerFlags(cmd, &output)
	return cmd
}

func runTriggerExplain(cmd *cobra.Command, files []string, subject string, headers []string, output string) error {
	header, err := headerOf(headers)
	if err != nil {
		return err
	}
	routes, err := loadRoutes(cmd)
	if err != nil {
		return err
	}
	var explained []explanation
	for _, file := range files {
		data, err := readInput(cmd, file)
		if err != nil {
			return &usageError{err}
		}
		for i, message := range messages(data) {
			explained = append(explained, explain(fmt.Sprintf("%s#%d", file, i+1), routes, subject, header, message)...)
		}
	}
	failed := false
	for _, e := range explained {
		failed = failed || e.Error != ""
	}
	if err := printExplanations(cmd.OutOrStdout(), output, explained); err != nil {
		return err
	}
	if failed {
		return errSaid
	}
	return nil
}

func headerOf(given []string) (schemas.Header, error) {
	header := make(schemas.Header)
	for _, h := range given {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" {
			return nil, &usageError{fmt.Errorf("--header: %q is not name:value", h)}
		}
		header[name] = append(header[name], strings.TrimSpace(value))
	}
	return header, nil
}

// messages splits a file into its JSON documents. Text that is not JSON is one
// message to its end, so that its error is shown.
func messages(data []byte) [][]byte {
	var found [][]byte
	dec := jsontext.NewDecoder(bytes.NewReader(data), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for {
		start := dec.InputOffset()
		value, err := dec.ReadValue()
		switch {
		case err == nil:
			found = append(found, bytes.Clone(value))
			continue
		case !errors.Is(err, io.EOF):
			found = append(found, bytes.TrimSpace(data[start:]))
		case len(found) == 0:
			found = append(found, nil) // an empty message may say all in its headers
		}
		return found
	}
}

// explanation is what would become of one change, or of a message that cannot be
// understood.
type explanation struct {
	Message   string         `json:"message"`
	Error     string         `json:"error,omitempty"`
	Unknown   bool           `json:"unknownFormat,omitempty"`
	Format    trigger.Format `json:"format,omitempty"`
	Event     string         `json:"event,omitempty"`
	Kind      trigger.Kind   `json:"kind,omitempty"`
	System    string         `json:"system,omitempty"`
	Source    string         `json:"source,omitempty"`
	Account   string         `json:"account,omitempty"`
	Container string         `json:"container,omitempty"`
	Key       string         `json:"key,omitempty"`
	// KeyBytes has the key if it is not UTF-8, which JSON cannot carry.
	KeyBytes []byte `json:"keyBytes,omitempty"`
	// RawKey is set if the key may be encoded or not. Key is decoded then.
	RawKey    string         `json:"rawKey,omitempty"`
	Tree      bool           `json:"tree,omitempty"`
	Size      *int64         `json:"size,omitempty"`
	Time      *time.Time     `json:"time,omitempty"`
	Sequencer string         `json:"sequencer,omitempty"`
	Version   string         `json:"version,omitempty"`
	User      string         `json:"user,omitempty"`
	Reason    trigger.Reason `json:"reason,omitempty"`
	Route     string         `json:"route,omitempty"`
	Line      int            `json:"line,omitempty"`
	// ContentGroup is the group that the route leads to, with its placeholders replaced.
	ContentGroup string `json:"contentGroup,omitempty"`
	// Conclusion says it in words.
	Conclusion string `json:"conclusion"`
}

func explain(message string, routes *trigger.Routes, subject string, header schemas.Header, data []byte) []explanation {
	var all []explanation
	changes, err := trigger.Decode(header, data)
	for _, c := range changes {
		c.From(subject)
		found, reason := routes.Match(c)
		e := explanationOf(message, c)
		e.Reason = reason
		if len(found) == 0 {
			e.Conclusion = withoutRoute(routes, c, reason)
			all = append(all, e)
		}
		for _, r := range found {
			e.Route, e.Line, e.ContentGroup, e.Conclusion = r.Name, r.Line, r.Group().String(), withRoute(c, r)
			all = append(all, e)
		}
	}
	if err != nil {
		e := explanation{Message: message, Error: err.Error(), Conclusion: "would be kept as a dead letter: " + err.Error()}
		if fault, ok := errors.AsType[*trigger.DecodeError](err); ok {
			e.Unknown = fault.Unknown
		}
		all = append(all, e)
	}
	return all
}

func explanationOf(message string, c trigger.Change) explanation {
	e := explanation{
		Message: message, Format: c.Format, Event: c.Event, Kind: c.Kind, System: c.System, Source: c.Source, Account: c.Account, Container: c.Container, Key: c.Key,
		RawKey: c.Raw, Tree: c.Tree, Sequencer: c.Sequencer, Version: c.Version, User: c.User,
	}
	if !utf8.ValidString(c.Key) {
		e.KeyBytes = []byte(c.Key)
	}
	if c.Size >= 0 {
		e.Size = &c.Size
	}
	if !c.Time.IsZero() {
		e.Time = &c.Time
	}
	return e
}

// withoutRoute says why a change starts no backup.
func withoutRoute(routes *trigger.Routes, c trigger.Change, reason trigger.Reason) string {
	switch reason {
	case trigger.ReasonNoChange:
		return "no backup: " + c.Note
	case trigger.ReasonDirective:
		return "no backup: a directive file of the trigger, or in the same place"
	case trigger.ReasonIgnored:
		return "no backup: a route says to ignore it"
	}
	if holders := routes.Holders(c); len(holders) > 0 {
		return fmt.Sprintf("no backup: no route wants its deletion; if %s waits for one, this is taken out", holders[0].Group())
	}
	return "no backup: no route matches"
}

// withRoute says what a change leads to.
func withRoute(c trigger.Change, r *trigger.Route) string {
	w := r.Window
	text := fmt.Sprintf("%s backup of %s, %s after its last change, at most %s after the first",
		r.Request.BackupLevel, r.Group(), short(w.Quiet), short(w.Max))
	if r.Directive != nil {
		text += fmt.Sprintf(" or at %d paths", w.MaxPaths)
	}
	if r.Rule.Queue {
		text += ", and after a job of the group that runs"
	}
	if r.Rule.MinInterval > 0 {
		text += fmt.Sprintf(", at least %s after the start of its last job", short(r.Rule.MinInterval))
	}
	if r.Blackout.Any() {
		text += ", not in the blackout " + r.Blackout.String()
	}
	if r.Directive == nil {
		return text
	}
	path, why := r.Path(c)
	if why != "" {
		return text + "; without a list of paths, because " + why
	}
	return fmt.Sprintf("%s; lists %q", text, path)
}

func printExplanations(w io.Writer, output string, all []explanation) error {
	if output == outputJSON {
		for _, e := range all {
			if err := printJSON(w, e); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable(w)
	t.row("MESSAGE", "FORMAT", "EVENT", "KIND", "CONTAINER", "KEY", "ROUTE", "CONCLUSION")
	for _, e := range all {
		container, key, route := e.Container, dash(""), dash("")
		if e.Account != "" {
			container = e.Account + "/" + container
		}
		if e.Key != "" {
			key = fmt.Sprintf("%q", e.Key) // it may have anything in it
		}
		if e.Route != "" {
			route = e.Route
			if named := fmt.Sprintf("line %d", e.Line); named != e.Route {
				route += " (" + named + ")"
			}
		}
		t.row(plainText(e.Message), dash(string(e.Format)), dash(plainText(e.Event)), dash(string(e.Kind)),
			dash(plainText(container)), key, plainText(route), plainText(e.Conclusion))
	}
	if err := t.flush(); err != nil {
		return err
	}
	groups := make(map[string]bool)
	for _, e := range all {
		if e.ContentGroup != "" {
			groups[e.ContentGroup] = true
		}
	}
	_, err := fmt.Fprintf(w, "%s, of %s; `backhaul trigger replay` shows the windows and requests of recorded notifications\n", show.Count(len(all), "change"), show.Count(len(groups), "content group"))
	return err
}

// plainText quotes what is not printable.
func plainText(s string) string {
	if strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return strconv.Quote(s)
	}
	return s
}
