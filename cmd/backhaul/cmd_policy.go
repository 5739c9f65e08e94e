package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/policy"
	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Check a policy file, and explain what it says to a request",
		Long: `A policy file says which source may ask for which backups. It is given to the
service by --policy-file or BACKHAUL_POLICY_FILE; without one everything is allowed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPolicyExplainCommand(), newPolicyCheckCommand())
	return cmd
}

func newPolicyExplainCommand() *cobra.Command {
	var source, output string
	cmd := &cobra.Command{
		Use:   "explain REQUEST.json",
		Short: "Show whether a source may make a request, and which rule decides",
		Long: `Reads one request, plain or as a CloudEvent, from a file or from standard input
(-), and prints what every rule for the source decides. The exit code is 0 if the
request is allowed and 1 if not. Whether the source has made too many requests in
an hour is known to the running service only.`,
		Example: `  backhaul policy explain request.json --source billing --policy-file policy.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{fmt.Errorf("give one REQUEST.json, or - for standard input; got %d", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runPolicyExplain(cmd, args[0], source, output) },
	}
	cmd.Flags().StringVar(&source, "source", "", "who asks: last token of the `subject`")
	addPolicyFlags(cmd, &output)
	return cmd
}

func newPolicyCheckCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Validate a policy file",
		Long:  `The exit code is 0 if the file can be used and 2 if not.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{fmt.Errorf("one FILE at most, got %d", len(args))}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return runPolicyCheck(cmd, args, output) },
	}
	addPolicyFlags(cmd, &output)
	return cmd
}

// addPolicyFlags adds the one setting that these commands use.
func addPolicyFlags(cmd *cobra.Command, output *string) {
	config.AddFlag(cmd.Flags(), "policy-file", "policy `file`")
	config.AddFlags(cmd.Flags(), config.GroupLog)
	addOutputFlag(cmd, output)
}

// loadPolicy reads the file that the settings, or the argument, name. It also returns whether the
// settings follow jobs.
func loadPolicy(cmd *cobra.Command, args []string) (p *policy.Policy, following bool, err error) {
	cfg, _, err := load(cmd)
	if err != nil {
		return nil, false, err
	}
	file := cfg.Work.PolicyFile
	if len(args) > 0 {
		file = args[0]
	}
	if file == "" {
		return nil, false, &config.Error{Problems: []string{"no policy file: set --policy-file or BACKHAUL_POLICY_FILE; without one everything is allowed"}}
	}
	if p, err = policy.Load(file); err != nil {
		return nil, false, config.FileError(err)
	}
	return p, cfg.Follow.On, nil
}

func runPolicyCheck(cmd *cobra.Command, args []string, output string) error {
	p, following, err := loadPolicy(cmd, args)
	if err == nil && !following {
		if err = p.NeedsFollowing(); err != nil {
			err = config.FileError(err)
		}
	}
	if err != nil {
		return sayProblems(cmd, output, err)
	}
	entries, rules := p.Size()
	w := cmd.OutOrStdout()
	if output == outputJSON {
		return printJSON(w, struct {
			File    string `json:"file"`
			SHA256  string `json:"sha256"`
			Sources int    `json:"sources"`
			Rules   int    `json:"rules"`
			Groups  int    `json:"groups"`
		}{p.File, p.Sum, entries, rules, p.Groups()})
	}
	groups := ""
	if n := p.Groups(); n > 0 {
		groups = fmt.Sprintf(" %d items in groups,", n)
	}
	fmt.Fprintf(w, "%s is in order: %d sources, %d rules,%s SHA-256 %s\n", p.File, entries, rules, groups, p.Sum)
	return nil
}

func runPolicyExplain(cmd *cobra.Command, request, source, output string) error {
	if err := checkSource(source); err != nil {
		return err
	}
	p, _, err := loadPolicy(cmd, nil)
	if err != nil {
		return err
	}
	r, err := readOneRequest(cmd, request)
	if err != nil {
		return err
	}
	v := p.Explain(source, r)
	if err := printVerdict(cmd.OutOrStdout(), output, v); err != nil {
		return err
	}
	if !v.Allowed {
		return errSaid
	}
	return nil
}

func readOneRequest(cmd *cobra.Command, name string) (schemas.BackupRequest, error) {
	data, err := readInput(cmd, name)
	if err != nil {
		return schemas.BackupRequest{}, &usageError{err}
	}
	m, err := schemas.DecodeRequest(nil, data)
	if err != nil {
		return schemas.BackupRequest{}, &usageError{fmt.Errorf("%s: %w", name, err)}
	}
	return m.Request, nil
}

func printVerdict(w io.Writer, output string, v policy.Verdict) error {
	if output == outputJSON {
		return printJSON(w, v)
	}
	word := "denied"
	if v.Allowed {
		word = "allowed"
	}
	switch {
	case v.Line == 0:
		fmt.Fprintf(w, "%s: %s has no entry for source %s, and none for others (\"*\")\n", word, v.File, v.Source)
		return nil
	case len(v.Rules) == 0:
		fmt.Fprintf(w, "%s: the entry of %s has no rule\n  %s:%d\n", word, v.Entry, v.File, v.Line)
		return nil
	}
	fmt.Fprintf(w, "%s: source %s, by the entry of %s (%s:%d)\n", word, v.Source, v.Entry, v.File, v.Line)
	for i, rule := range v.Rules {
		fmt.Fprintf(w, "  rule %d (%s:%d)", i+1, v.File, rule.Line)
		if len(rule.Denied) == 0 {
			fmt.Fprintln(w, " allows it")
		} else {
			fmt.Fprintln(w, " denies")
		}
		for _, d := range rule.Denied {
			fmt.Fprintf(w, "    %s\n      it allows %s (%s:%d)\n", d.Why, quotedList(d.Listed), v.File, d.Line)
		}
	}
	if g := v.Group; v.Allowed && g != nil {
		fmt.Fprintf(w, "  its content group has onRunning: %s", g.OnRunning)
		if g.MinInterval != "" {
			fmt.Fprintf(w, ", minInterval: %s", g.MinInterval)
		}
		fmt.Fprintf(w, " (%s:%d)\n", v.File, g.Line)
	}
	if v.RequestsPerHour > 0 {
		fmt.Fprintf(w, "  at most %s in an hour, which the running service counts (%s:%d)\n", show.Count(v.RequestsPerHour, "request"), v.File, v.RequestsPerHourLine)
	}
	return nil
}

func quotedList(values []string) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = strconv.Quote(value)
	}
	return strings.Join(texts, ", ")
}
