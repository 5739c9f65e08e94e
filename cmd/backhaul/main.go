// Command backhaul starts Commvault backups from events. `backhaul help` lists
// what it can do.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"

	// What a system usually has as files, for those that have none, such as our image;
	// with the roots in roots.go 0.6 MB of the program. The system's own are preferred.
	_ "time/tzdata"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
	"backhaul/cmd/internal/natsconn"
	"backhaul/cmd/internal/show"
)

// Exit codes that scripts can rely on.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2 // a wrong command line or setting; nothing was started
	exitUnreachable = 3
	exitInterrupted = 130
)

func main() {
	runtime.MemProfileRate = 0 // its samples take 1 MB; package service turns them on where they can be asked for
	go useRoots()
	root, args := newRootCommand(), os.Args[1:]
	// The first signal ends ctx, which every command takes as "finish and stop".
	// The second one is not ours any more and kills.
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !reloads(root, args) && !signal.Ignored(syscall.SIGHUP) { // nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, root, args))
}

func run(ctx context.Context, root *cobra.Command, args []string) int {
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		completeFlags(root) // which takes a tenth of a start
	}
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.Is(err, errSaid) {
		fmt.Fprintf(root.ErrOrStderr(), "backhaul: %s\n", show.Lines(err.Error(), maxError))
	}
	return exitCode(ctx, err)
}

// maxError bounds what is printed of an error.
const maxError = 64 << 10

// errSaid ends a command that has printed already why it failed.
var errSaid = errors.New("failed")

// usageError is a command line that cannot be followed.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() + "; see --help" }
func (e *usageError) Unwrap() error { return e.err }

// ofSettings reports whether the settings are the cause of an error.
func ofSettings(err error) bool {
	_, wrong := errors.AsType[*config.Error](err)
	_, server := errors.AsType[*natsconn.OptionsError](err)
	_, listener := errors.AsType[*console.ListenError](err)
	return wrong || server || listener
}

func exitCode(ctx context.Context, err error) int {
	var (
		usage       *usageError
		unreachable *natsconn.UnreachableError
	)
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &usage), ofSettings(err):
		return exitUsage
	case ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &unreachable), errors.Is(err, errSaidUnreachable):
		return exitUnreachable
	default:
		return exitFailed
	}
}
