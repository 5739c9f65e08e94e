package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/telemetry"
)

// version and commit are set by the linker for releases and images, which are to be
// the same bytes from a clone, a worktree or an archive; otherwise the build's own
// information says which one it is.
var version, commit string

func newVersionCommand() *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := readVersion()
			if output == outputJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), v.text())
			return err
		},
	}
	addOutputFlag(cmd, &output)
	return cmd
}

type versionInfo struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (v versionInfo) text() string {
	return fmt.Sprintf("backhaul %s (%s, %s)", v.Version, v.Commit, v.Go)
}

func readVersion() versionInfo {
	v := versionInfo{Version: version, Commit: cmp.Or(commit, "unknown commit"), Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if v.Version == "" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && commit == "" {
			v.Commit = s.Value
		}
	}
	return v
}

// buildInfo returns the version for services.
func buildInfo() telemetry.Build {
	v := readVersion()
	return telemetry.Build{Version: v.Version, Commit: v.Commit}
}
