package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/batch"
	"backhaul/cmd/internal/show"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

// dryRequest is what a dry run shows of a request: the message as it would be
// published, and the vendor's call as it would be made.
type dryRequest struct {
	Subject string              `json:"subject"`
	Header  map[string][]string `json:"header"`
	Request jsontext.Value      `json:"request"`
	Vendor  dryCall             `json:"vendor"`
}

type dryCall struct {
	Method      string `json:"method"`
	Path        string `json:"path"` // below the endpoint
	ContentType string `json:"contentType"`
	Body        string `json:"body"`
}

// showRequests connects to nothing.
func showRequests(cmd *cobra.Command, f requestFlags, b batch.Batch) error {
	cfg, _, err := load(cmd)
	if err != nil {
		return err
	}
	for _, req := range b.Requests {
		msg, err := publisher.RequestMsg(b.Source, b.Priority, req)
		if err != nil {
			return err
		}
		call, err := vendorapi.Render(cfg.Vendor.Format, vendorapi.Task{
			BackupRequest: req, Marker: publisher.NewKey(b.Source, req.RequestID).Marker(),
		})
		if err != nil {
			return fmt.Errorf("%s/%s: %w", b.Source, req.RequestID, err)
		}
		dry := dryRequest{
			Subject: msg.Subject, Header: msg.Header, Request: msg.Data,
			Vendor: dryCall{Method: http.MethodPost, Path: call.Path, ContentType: call.ContentType, Body: string(call.Body)},
		}
		if err := dry.print(cmd, f.output); err != nil {
			return err
		}
	}
	if f.quiet {
		return nil
	}
	return totals(cmd, b)
}

// totals says on standard error what a batch would ask for in all.
func totals(cmd *cobra.Command, b batch.Batch) error {
	groups, levels := make(map[[2]string]bool), make(map[string]int)
	for _, req := range b.Requests {
		groups[[2]string{req.ClientName, req.SubclientName}] = true
		levels[req.BackupLevel]++
	}
	var parts []string
	for _, level := range slices.Sorted(maps.Keys(levels)) {
		parts = append(parts, fmt.Sprintf("%d %s", levels[level], level))
	}
	_, err := fmt.Fprintf(cmd.ErrOrStderr(), "nothing was sent: %s (%s) of %s, each one writing call at the vendor\n",
		show.Count(len(b.Requests), "request"), strings.Join(parts, ", "), show.Count(len(groups), "content group"))
	return err
}

func (d dryRequest) print(cmd *cobra.Command, output string) error {
	out := cmd.OutOrStdout()
	if output == outputJSON {
		line, err := json.Marshal(d, json.Deterministic(true))
		if err == nil {
			_, err = fmt.Fprintf(out, "%s\n", line)
		}
		return err
	}
	fmt.Fprintf(out, "→ %s\n", d.Subject)
	for _, name := range slices.Sorted(maps.Keys(d.Header)) {
		for _, value := range d.Header[name] {
			fmt.Fprintf(out, "  %s: %s\n", name, value)
		}
	}
	fmt.Fprintf(out, "  %s\n", d.Request)
	_, err := fmt.Fprintf(out, "→ %s %s\n  Content-Type: %s\n  %s\n\n", d.Vendor.Method, d.Vendor.Path, d.Vendor.ContentType, d.Vendor.Body)
	return err
}
