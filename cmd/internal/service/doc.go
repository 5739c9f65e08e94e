// Package service wires the long-running commands: [Run] turns requests into jobs,
// [Trigger] turns changes in object storage into requests, [Archive] keeps events. Each is
// one straight line, on purpose: a reader sees from top to bottom what is started, in which
// order, and what each part is given.
//
// Each runs until its context ends, then finishes the work in progress, and stops what it
// started in reverse order. Each stop has a name and a bound. One that fails or exceeds its
// bound is logged by its name and does not keep the others from running; it does not
// change the result, because the work is done by then.
//
// An error before the work begins is a [*config.Error], a [*natsconn.OptionsError] or a
// [*console.ListenError] if the settings cause it, and a [*natsconn.UnreachableError] if NATS
// or JetStream does not answer.
package service

import (
	"os"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/telemetry"
)

// Options are what a service is started with.
type Options struct {
	Config *config.Config
	Log    zerolog.Logger
	Build  telemetry.Build // of the program, for the page, metrics and traces
	// Reload asks for the policy file to be read again. Nil, the default, never asks.
	Reload <-chan os.Signal
	// Ready, if not nil, is called once requests are read.
	Ready func(Addresses)
}

// Addresses are where a running service is reached.
type Addresses struct {
	NATS string // URL of the NATS server
	Page string // URL of the console page, "" without one
}
