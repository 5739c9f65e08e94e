package main

import (
	"os"
	"runtime/debug"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/service"
	"backhaul/cmd/internal/show"
)

func newRunCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Start backups for requests as they come",
		Long: `Reads requests from backup.request.<source>[.high|.low], starts their jobs and publishes
their events. Without --nats it runs a JetStream server of its own, which other
programs on this machine can use; with --nats it joins yours. Any number of
replicas may run. SIGTERM and SIGINT drain: what is under way is finished. SIGHUP
reads the policy file and the file of objectives again.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			reload := hangups()
			cfg, log, err := load(cmd)
			if err != nil {
				return err
			}
			if w, isJSON := logWriter(cmd.ErrOrStderr(), cfg.Log).(*show.Writer); isJSON {
				lines := show.NewLogLines(w)
				defer lines.Flush()
				log = loggerOn(lines, cfg.Log)
			}
			if os.Getenv("GOGC") == "" {
				// What lives is little, what each request needs for a moment is much: for 5 MiB
				// more the collector takes half the time.
				debug.SetGCPercent(200)
			}
			return service.Run(cmd.Context(), service.Options{
				Config: cfg, Log: log, Build: buildInfo(), Reload: reload,
				Ready: func(service.Addresses) { warnWithoutPolicy(cfg.Work, log) },
			})
		},
	}
	asService(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupVendor, config.GroupWork, config.GroupFollow, config.GroupProtection, config.GroupAdmin, config.GroupProfiles, config.GroupLog)
	return cmd
}

func warnWithoutPolicy(cfg config.Work, log zerolog.Logger) {
	if cfg.PolicyFile == "" {
		log.Warn().Msg("there is no policy: every user who may publish on backup.request.> may have anything backed up; set BACKHAUL_POLICY_FILE to change that")
	}
}
