package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
)

func newConfigCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Show and check the settings",
		Long: `Settings come from, the strongest last: defaults, a YAML file (--config,
BACKHAUL_CONFIG), the environment, flags. deploy/CONFIGURATION.md has all of them.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newConfigShowCommand(), newConfigCheckCommand())
	return cmd
}

func newConfigShowCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every setting with its value and where that came from",
		Long: `Prints what a command with these flags, this environment and this file would
work with. Secrets are masked. Settings that are wrong are shown with their
default, and said on stderr.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runConfigShow(cmd, output) },
	}
	config.AddFlags(cmd.Flags(), config.AllGroups...)
	addOutputFlag(cmd, &output)
	return cmd
}

func newConfigCheckCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that is wrong with the settings",
		Long: `Says everything for which "backhaul run" would refuse these settings, at once:
the file, values, files that cannot be read, invalid certificates. It
reaches for nothing over the network. The exit code is 0 or 2.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runConfigCheck(cmd, output) },
	}
	config.AddFlags(cmd.Flags(), config.AllGroups...)
	addOutputFlag(cmd, &output)
	return cmd
}

func runConfigShow(cmd *cobra.Command, output string) error {
	values, err := config.Show(cmd.Flags(), os.Environ())
	if output == outputJSON {
		for _, v := range values {
			err = errors.Join(err, printJSON(cmd.OutOrStdout(), v))
		}
		return err
	}
	t := newTable(cmd.OutOrStdout())
	t.row("SETTING", "VALUE", "ORIGIN")
	for _, v := range values {
		t.row(v.Key, dash(v.Value), v.Origin)
	}
	return errors.Join(err, t.flush())
}

func runConfigCheck(cmd *cobra.Command, output string) error {
	err := config.Check(cmd.Flags(), os.Environ())
	switch {
	case err != nil && output == outputJSON:
		return sayProblems(cmd, output, errors.Join(errSaid, err))
	case err != nil:
		return err
	case output == outputJSON:
		return printJSON(cmd.OutOrStdout(), problems{OK: true, Problems: []string{}})
	}
	fmt.Fprintln(cmd.OutOrStdout(), "the settings are good")
	return nil
}
