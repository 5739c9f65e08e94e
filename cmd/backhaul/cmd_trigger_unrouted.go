package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/show"
	"backhaul/consumer/trigger"
)

func newTriggerUnroutedCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "unrouted",
		Short: "Show the containers with changes that no route takes",
		Long: `Asks the trigger that reads which changes no route took since it began to read, and
prints their number for each container, the largest first. Such a change starts
nothing and is gone, unless the routes file says "unrouted: keep": then its
notification is a dead letter with the code NO_ROUTE.`,
		Example: `  backhaul trigger unrouted --nats nats://127.0.0.1:4222`,
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return runTriggerUnrouted(cmd, output) },
	}
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupLog)
	addOutputFlag(cmd, &output)
	return cmd
}

func runTriggerUnrouted(cmd *cobra.Command, output string) error {
	nc, _, _, err := join(cmd)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, explain := ask(cmd.Context(), nc)
	state, err := trigger.Listen(ctx, nc)
	if err != nil {
		return explain(err)
	}
	if state == nil {
		return errors.New("no trigger says that it reads: start one, or permit this user to subscribe to storage.state")
	}
	return printUnrouted(cmd.OutOrStdout(), output, state)
}

func printUnrouted(w io.Writer, output string, state *trigger.State) error {
	u := state.Unrouted
	if u == nil {
		u = new(trigger.Unrouted)
	}
	if output == outputJSON {
		return printJSON(w, u)
	}
	fmt.Fprintf(w, "%s without a route since %s\n", show.Count(u.Changes, "change"), stamp(state.Asked.Since))
	if u.Changes == 0 {
		return nil
	}
	t := newTable(w)
	t.row("CHANGES", "SYSTEM", "ACCOUNT", "CONTAINER", "LAST", "KEY")
	for _, c := range u.Containers {
		t.row(fmt.Sprint(c.Changes), dash(plainText(c.System)), dash(plainText(c.Account)), plainText(c.Container), stamp(c.Last), plainText(c.Key))
	}
	if u.Others > 0 {
		t.row(fmt.Sprint(u.Others), "-", "-", "others", "-", "-")
	}
	return t.flush()
}

// unroutedText returns a line about the changes that no route takes.
func unroutedText(u *trigger.Unrouted) string {
	text := show.Count(u.Changes, "change")
	if len(u.Containers) > 0 {
		text += fmt.Sprintf(", %d of them in container %s", u.Containers[0].Changes, plainText(u.Containers[0].Container))
	}
	return text + "; `backhaul trigger unrouted` lists the containers"
}
