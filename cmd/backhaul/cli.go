package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/service"
	"backhaul/cmd/internal/show"
)

// What the commands share is in the files cli*.go:
//
//   - settings and connection: load, join, newLogger (loggerOn a logWriter)
//   - flags: addOutputFlag, addOperatorFlags, addYesFlag, addFilter, addSourceFilter,
//     addLabels, addMoment, hideFlags, flagOf; checkSource, checkPeriod
//   - input: readInput, readFileIDs, errBatchAlone, noteMark
//   - output: printJSON, newTable, stamp, ago, short, dash, sayProblems
//   - errors: usageError for a wrong command line, errSaid after a failure that is printed
//     already; main.go has the exit codes
//   - NATS: ask makes refusals and timeouts readable, lookAt takes a refusal for an answer,
//     unlogged keeps refusals out of the log
//   - operators: operatorFlags.by for the record, confirm before what cannot be undone
//   - scopes: addScopeFlags and scopeFlags.scope for a part of the requests; pauseScope, resumeScope,
//     pausedScopes, scopesText
//   - signals: asService and hangups for the services; main asks reloads
//   - trust: useRoots before a command runs
//   - completion: completeFlags finds values for every flag; main calls it when a shell asks
//
// A command binds its flags to variables (StringVar, BoolVar, …) and never asks for a flag by
// its name, so that a misspelt name cannot compile; TestFlags_areBound checks it.

// load reads the settings of a command and makes its logger.
func load(cmd *cobra.Command) (*config.Config, zerolog.Logger, error) {
	cfg, err := config.Load(cmd.Flags(), os.Environ())
	if err != nil {
		return nil, zerolog.Nop(), err
	}
	return cfg, newLogger(cmd.ErrOrStderr(), cfg.Log), nil
}

// join connects a command to a server that runs already.
func join(cmd *cobra.Command) (*nats.Conn, jetstream.JetStream, *config.Config, error) {
	cfg, log, err := load(cmd)
	if err != nil {
		return nil, nil, nil, err
	}
	if cfg.NATS.URL == "" {
		return nil, nil, nil, &config.Error{Problems: []string{fmt.Sprintf(
			"`%s` needs a server: set --nats or BACKHAUL_NATS_URL, for example nats://127.0.0.1:4222, or --nats-context", cmd.CommandPath())}}
	}
	nc, err := service.Join(cmd.Context(), cfg.NATS, cmd.CommandPath(), log)
	if err != nil {
		return nil, nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return nil, nil, nil, err
	}
	return nc, js, cfg, nil
}

// newLogger logs for people on a terminal and as JSON elsewhere.
func newLogger(w io.Writer, cfg config.Log) zerolog.Logger { return loggerOn(logWriter(w, cfg), cfg) }

func loggerOn(w io.Writer, cfg config.Log) zerolog.Logger {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger()
}

// logWriter returns what a logger writes its lines to.
func logWriter(w io.Writer, cfg config.Log) io.Writer {
	file, isFile := w.(*os.File)
	terminal := isFile && isatty.IsTerminal(file.Fd())
	if cfg.Format == "console" || cfg.Format == "auto" && terminal {
		// It quotes what is not ASCII.
		return zerolog.ConsoleWriter{Out: w, TimeFormat: time.TimeOnly, NoColor: !terminal || os.Getenv("NO_COLOR") != ""}
	}
	return show.NewWriter(w)
}

// flagOf returns a flag of a command. An unknown name is a mistake in the code: it panics.
func flagOf(cmd *cobra.Command, name string) *pflag.Flag {
	flag := cmd.Flags().Lookup(name)
	if flag == nil {
		panic(fmt.Sprintf("%s has no flag --%s", cmd.CommandPath(), name))
	}
	return flag
}

// hideFlags keeps flags of shared groups, which mean nothing to this command, from its help.
func hideFlags(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		flagOf(cmd, name).Hidden = true
	}
}
