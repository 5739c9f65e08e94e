package main

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/show"
)

// addOperatorFlags adds who acts, and why, to a command that leaves an event.
func addOperatorFlags(cmd *cobra.Command) {
	cmd.Flags().String("as", "", "`name` of who acts, for the record (default user@host)")
	cmd.Flags().String("reason", "", "why, for the record: `text`")
}

// byOf reads those flags.
func byOf(cmd *cobra.Command) (operator.By, error) {
	var by operator.By
	by.Actor, _ = cmd.Flags().GetString("as")
	by.Reason, _ = cmd.Flags().GetString("reason")
	if by.Actor == "" {
		by.Actor = operator.Default()
	}
	if err := by.Check(); err != nil {
		return by, &usageError{fmt.Errorf("--as, --reason: %w", err)}
	}
	return by, nil
}

func addYesFlag(cmd *cobra.Command) {
	cmd.Flags().BoolP("yes", "y", false, "do not ask; needed where there is no terminal to ask on")
}

// confirm asks a person. Without a terminal nobody can be asked, and what cannot
// be taken back is not done by guess.
func confirm(cmd *cobra.Command, question string) error {
	if yes, _ := cmd.Flags().GetBool("yes"); yes {
		return nil
	}
	in, isFile := cmd.InOrStdin().(*os.File)
	if !isFile || !isatty.IsTerminal(in.Fd()) {
		return &usageError{fmt.Errorf("%s There is no terminal to ask on: give --yes", question)}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", show.Line(question))
	answer, _ := bufio.NewReader(in).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "nothing was done")
	return errSaid
}
