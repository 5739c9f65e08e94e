package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/objectives"
	"backhaul/cmd/internal/protection"
)

func newProtectionCheckCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate an objectives file",
		Long: `Prints the objectives in their order: the first one that fits a content group is
its objective. The exit code is 0 if the file can be used and 2 if not.`,
		Example: `  backhaul protection check objectives.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return fmt.Errorf("one FILE at most, got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runProtectionCheck(cmd, args, output) },
	}
	config.AddFlags(cmd.Flags(), config.GroupProtection, config.GroupLog)
	addOutputFlag(cmd, &output)
	return cmd
}

// loadObjectives reads a file of objectives. What is wrong with it is an error of the
// configuration.
func loadObjectives(file string) (*objectives.Objectives, error) {
	all, err := objectives.Load(file)
	if err != nil {
		return nil, config.FileError(err)
	}
	return all, nil
}

func runProtectionCheck(cmd *cobra.Command, args []string, output string) error {
	cfg, _, err := load(cmd)
	if err != nil {
		return err
	}
	file := cfg.Protection.ObjectivesFile
	if len(args) > 0 {
		file = args[0]
	}
	if file == "" {
		return errNoObjectives()
	}
	all, err := loadObjectives(file)
	if err != nil {
		return sayProblems(cmd, output, err)
	}
	return printObjectives(cmd.OutOrStdout(), output, all)
}

// objectiveView is an objective as it is printed.
type objectiveView struct {
	protection.Objective
	RPO    string   `json:"rpo,omitempty"`
	MaxAge string   `json:"maxAge,omitempty"`
	Accept []string `json:"accept"`
}

func objectiveViewOf(o protection.Objective) objectiveView {
	v := objectiveView{Objective: o, RPO: promised(o.RPO), MaxAge: promised(o.MaxAge)}
	for _, outcome := range o.Accepted() {
		v.Accept = append(v.Accept, string(outcome))
	}
	return v
}

// promised returns a promised time, "" if nothing is promised.
func promised(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return short(d)
}

func printObjectives(w io.Writer, output string, all *objectives.Objectives) error {
	views := []objectiveView{}
	for _, o := range all.All() {
		views = append(views, objectiveViewOf(o))
	}
	if output == outputJSON {
		return printJSON(w, struct {
			File       string          `json:"file"`
			SHA256     string          `json:"sha256"`
			Objectives []objectiveView `json:"objectives"`
		}{all.File, all.Sum, views})
	}
	t := newTable(w)
	t.row("OBJECTIVE", "RPO", "MAX AGE", "OWNER", "ACCEPTS")
	for _, v := range views {
		t.row(v.Name, dash(v.RPO), dash(v.MaxAge), dash(v.Owner), strings.Join(v.Accept, ", "))
	}
	if err := t.flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "%s is in order: %s, SHA-256 %s\n", all.File, plural(len(views), "objective", "objectives"), all.Sum)
	return nil
}
