package main

import "github.com/spf13/cobra"

func newProtectionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "protection",
		Short: "Show until when content groups are protected, and check what is promised for them",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newProtectionCheckCommand())
	return cmd
}
