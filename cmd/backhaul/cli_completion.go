package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/config"
	"backhaul/schemas"
)

// completeFlags gives every flag of a command and of those below it the values
// that a shell may offer: the ones there are, files where a file is wanted, and
// else nothing, because the names of files would be wrong.
func completeFlags(cmd *cobra.Command) {
	values := config.Choices()
	values["kind"] = kindNames()
	values["schema"] = schemas.SchemaNames()
	values["error-code"] = []string{
		schemas.CodeInvalidRequest, schemas.CodeNotAllowed, schemas.CodeExpired,
		schemas.CodeVendorUnavailable, schemas.CodeAuthFailed, schemas.CodeOutcomeUnknown, schemas.CodeCancelled,
	}
	completeWith(cmd, values)
}

func completeWith(cmd *cobra.Command, values map[string][]string) {
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		var complete cobra.CompletionFunc
		switch place, _ := pflag.UnquoteUsage(f); {
		case values[f.Name] != nil:
			complete = cobra.FixedCompletions(values[f.Name], cobra.ShellCompDirectiveNoFileComp)
		case strings.Contains(place, "|"):
			complete = cobra.FixedCompletions(strings.Split(place, "|"), cobra.ShellCompDirectiveNoFileComp)
		case place == "file":
			return // what a shell does anyway
		case place == "directory":
			complete = cobra.FixedCompletions(nil, cobra.ShellCompDirectiveFilterDirs)
		case strings.HasPrefix(f.Value.Type(), "bool"):
			complete = cobra.FixedCompletions([]string{"true", "false"}, cobra.ShellCompDirectiveNoFileComp)
		default:
			complete = cobra.NoFileCompletions
		}
		_ = cmd.RegisterFlagCompletionFunc(f.Name, complete) // fails where the command has done so itself
	})
	for _, sub := range cmd.Commands() {
		completeWith(sub, values)
	}
}
