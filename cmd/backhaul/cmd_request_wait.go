package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/batch"
	"backhaul/consumer/follower"
	"backhaul/publisher"
)

// The values of --wait.
const (
	waitStarted  = "started"
	waitFinished = "finished"
)

// endTimeout is how long --wait=finished waits unless --timeout says otherwise. A backup
// takes minutes to hours.
const endTimeout = 24 * time.Hour

// waitFlag is the value of --wait, "" without the flag. It was a boolean before jobs were
// followed, so it still takes true and false.
type waitFlag string

func (w *waitFlag) String() string { return string(*w) }
func (*waitFlag) Type() string     { return "wait" }

func (w *waitFlag) Set(value string) error {
	switch value {
	case waitStarted, waitFinished:
		*w = waitFlag(value)
	case "true":
		*w = waitStarted
	case "false":
		*w = ""
	default:
		return fmt.Errorf("must be %s or %s", waitStarted, waitFinished)
	}
	return nil
}

func (w *waitFlag) of() batch.Wait {
	switch *w {
	case waitStarted:
		return batch.WaitStarted
	case waitFinished:
		return batch.WaitFinished
	}
	return batch.WaitNothing
}

// sayUnfollowed notes on standard error if no end can be expected at present.
func sayUnfollowed(cmd *cobra.Command, nc *nats.Conn) {
	state, err := follower.Listen(cmd.Context(), nc)
	if state == nil && err == nil {
		cmd.PrintErrf("note: no replica that follows jobs is heard on %s: --wait=finished goes on until one runs and reports the ends\n", publisher.FollowerStateSubject)
	}
}

// noArgsOfWait refuses arguments. One of them may be meant as the value of --wait, which
// needs a "=", because the value may be left out.
func noArgsOfWait(cmd *cobra.Command, args []string) error {
	if len(args) > 0 && slices.Contains([]string{waitStarted, waitFinished}, args[0]) {
		return fmt.Errorf("unexpected argument %q: write --wait=%s", args[0], args[0])
	}
	return cobra.NoArgs(cmd, args)
}
