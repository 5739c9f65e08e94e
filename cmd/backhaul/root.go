package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "backhaul",
		Short: "Start Commvault backups from events",
		Long: `Backhaul reads backup requests from NATS JetStream, starts the job with
Commvault's CreateTask, and publishes what came of each request: job-started with
the job id, or job-failed with the error code. One request, at most one job,
exactly one true event.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// What a command prints is read by a terminal or a pipeline, and much of it is
		// the text of other people.
		PersistentPreRun: func(cmd *cobra.Command, _ []string) {
			useRoots()
			cmd.SetOut(show.NewWriter(cmd.OutOrStdout()))
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{suggesting(plainNumber(err), nearestFlag(cmd, err))}
	})
	root.AddCommand(
		newRunCommand(),
		newCheckCommand(),
		newDemoCommand(),
		newSetupCommand(),
		newMigrateCommand(),
		newRecoverCommand(),
		newRequestCommand(),
		newCancelCommand(),
		newRequestsCommand(),
		newEventsCommand(),
		newDeadLetterCommand(),
		newPauseCommand(),
		newResumeCommand(),
		newJobCommand(),
		newPolicyCommand(),
		newProtectionCommand(),
		newTriggerCommand(),
		newArchiveCommand(),
		newVerifyCommand(),
		newProveCommand(),
		newStatusCommand(),
		newSchemaCommand(),
		newHealthcheckCommand(),
		newSimulatorCommand(),
		newNATSUsersCommand(),
		newConfigCommand(),
		newVersionCommand(),
	)
	root.Version = readVersion().text()
	root.SetVersionTemplate("{{.Version}}\n")
	refuseByUsage(root)
	return root
}

// refuseByUsage makes wrong arguments of a command, and of those below it, a
// [*usageError].
func refuseByUsage(cmd *cobra.Command) {
	if refuse := cmd.Args; refuse != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := refuse(cmd, args); err != nil {
				return &usageError{suggesting(namingArguments(cmd, args, err), nearestCommand(cmd, args))}
			}
			return nil
		}
	}
	for _, sub := range cmd.Commands() {
		refuseByUsage(sub)
	}
}

// namingArguments puts the error of a wrong number of arguments into words, with their names. The
// library takes an argument of a command without any for the name of another command.
func namingArguments(cmd *cobra.Command, args []string, err error) error {
	if len(args) > 0 && !cmd.HasSubCommands() && strings.HasPrefix(err.Error(), "unknown command") {
		return fmt.Errorf("unexpected argument %q", args[0])
	}
	_, names, has := strings.Cut(cmd.Use, " ")
	if !has || !strings.Contains(err.Error(), "arg(s)") {
		return err
	}
	return fmt.Errorf("arguments: %d given, must be `%s %s`", len(args), cmd.CommandPath(), names)
}

// plainNumber puts the error of a flag's number into words.
func plainNumber(err error) error {
	value, isValue := errors.AsType[*pflag.InvalidValueError](err)
	number, isNumber := errors.AsType[*strconv.NumError](err)
	if !isValue || !isNumber || !strings.HasPrefix(value.GetFlag().Value.Type(), "int") {
		return err
	}
	must := "a whole number"
	if errors.Is(number, strconv.ErrRange) {
		must = "a whole number of 64 bits"
	}
	return fmt.Errorf("invalid argument %q for \"--%s\" flag: must be %s", value.GetValue(), value.GetFlag().Name, must)
}

// nearestFlag returns the flag of a command that was probably meant by an unknown
// one, "" if none is near.
func nearestFlag(cmd *cobra.Command, err error) string {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || unknown.GetSpecifiedShortnames() != "" {
		return ""
	}
	var names []string
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, flag.Name)
		}
	})
	if near := schemas.Nearest(unknown.GetSpecifiedName(), names); near != "" {
		return "--" + near
	}
	return ""
}

// nearestCommand returns the command below cmd that was probably meant by the first
// argument, else those of that name at another level, "" if there are none.
func nearestCommand(cmd *cobra.Command, args []string) string {
	if len(args) == 0 {
		return ""
	}
	var names []string
	paths := make(map[string]string)
	for _, sub := range cmd.Commands() {
		if !sub.IsAvailableCommand() {
			continue
		}
		for _, name := range slices.Concat([]string{sub.Name()}, sub.Aliases, sub.SuggestFor) {
			names, paths[name] = append(names, name), sub.CommandPath()
		}
	}
	if near := paths[schemas.Nearest(args[0], names)]; near != "" {
		return near
	}
	return strings.Join(commandsNamed(cmd.Root(), args[0]), " or ")
}

// commandsNamed returns the paths of the commands below cmd, at any level, that have a name.
func commandsNamed(cmd *cobra.Command, name string) (paths []string) {
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() && (sub.Name() == name || sub.HasAlias(name)) {
			paths = append(paths, sub.CommandPath())
		}
		paths = append(paths, commandsNamed(sub, name)...)
	}
	return paths
}

// suggesting adds to an error what was probably meant, if that is known.
func suggesting(err error, near string) error {
	if near == "" {
		return err
	}
	return fmt.Errorf("%w, did you mean %s?", err, near)
}
