package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/operator"
	"backhaul/cmd/internal/show"
)

// operatorFlags are who acts, and why, for a command that leaves an event.
type operatorFlags struct{ actor, reason string }

func addOperatorFlags(cmd *cobra.Command, f *operatorFlags) {
	cmd.Flags().StringVar(&f.actor, "as", "", "`name` of who acts, for the record (default user@host)")
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for the record: `text`")
}

// by returns what goes on record. The error is a [*usageError].
func (f operatorFlags) by() (operator.By, error) {
	by := operator.By{Actor: cmp.Or(f.actor, operator.Default()), Reason: f.reason}
	if err := by.Check(); err != nil {
		return by, &usageError{fmt.Errorf("--as, --reason: %w", err)}
	}
	return by, nil
}

func addYesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask; needed where there is no terminal to ask on")
}

// confirm asks a person, unless yes. Without a terminal there is no person to ask, and what
// cannot be taken back is not done by guess.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	in, isFile := cmd.InOrStdin().(*os.File)
	if !isFile || !isatty.IsTerminal(in.Fd()) {
		return &usageError{fmt.Errorf("%s There is no terminal to ask on: give --yes", question)}
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", show.Line(question))
	if isYes(in) {
		return nil
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "nothing was done")
	return errSaid
}

// maxYes is far above what a yes takes.
const maxYes = 256

// isYes reports whether the first line of an input is a yes. A line without an end is not.
func isYes(in io.Reader) bool {
	answer, _ := bufio.NewReaderSize(io.LimitReader(in, maxYes), maxYes).ReadString('\n')
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return true
	}
	return false
}
