package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// reloadsAnnotation marks the commands that a hangup (SIGHUP) does not end: services,
// which read their files again. Every other command ends as it does by SIGINT.
const reloadsAnnotation = "backhaul/reloads"

// reloads reports whether the command line is that of a service.
func reloads(root *cobra.Command, args []string) bool {
	cmd, _, err := root.Find(args)
	return err == nil && cmd.Annotations[reloadsAnnotation] != ""
}

// asService marks a command as one that a hangup does not end.
func asService(cmd *cobra.Command) {
	cmd.Annotations = map[string]string{reloadsAnnotation: "true"}
}

// hangups are those that the process gets from here on. They do not end it any more,
// not even while it stops.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
