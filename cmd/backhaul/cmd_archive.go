package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/service"
)

func newArchiveCommand() *cobra.Command {
	var newStream bool
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Keep every event in an archive that shows when it was changed",
		Long: `Reads the events stream, and keeps each event exactly once in a tree of hashes whose
head is signed (C2SP tlog-tiles). What is in the archive cannot be changed, left out
or added to later without being noticed: "backhaul verify" finds it. Events that the
stream had lost before they could be kept are written down as a gap.

Any number of replicas may run: one archives, the others stand by. SIGTERM and SIGINT
stop it. Nothing waits for it: while it cannot write, events stay in their stream, for
as long as that keeps them.

Its listener, by default on 127.0.0.1:9092, answers /livez, /readyz and /metrics.`,
		Example: `  backhaul archive keygen backhaul.example.com/events -o archive.key
  BACKHAUL_ARCHIVE_KEY_FILE=archive.key backhaul archive --nats nats://127.0.0.1:4222 --archive /var/lib/backhaul/archive`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runArchive(cmd, newStream) },
	}
	cmd.Flags().BoolVar(&newStream, "new-stream", false, "go on with a stream that was made again or restored, and archive all of it behind the former one")
	asService(cmd)
	config.AddFlags(cmd.Flags(), config.GroupNATS, config.GroupEmbedded, config.GroupArchive, config.GroupArchiver, config.GroupAdmin, config.GroupProfiles, config.GroupLog)
	flagOf(cmd, "admin-addr").DefValue = config.ArchiveAdminAddr
	hideFlags(cmd, "nats-listen", "store-dir", "replicas", "admin-command-center-url") // of run
	cmd.AddCommand(newArchiveKeygenCommand())
	return cmd
}

func runArchive(cmd *cobra.Command, newStream bool) error {
	reload := hangups()
	cfg, log, err := load(cmd)
	if err != nil {
		return err
	}
	cfg.AdminByDefault(config.ArchiveAdminAddr)
	return service.Archive(cmd.Context(), service.Options{Config: cfg, Log: log, Build: buildInfo(), Reload: reload}, newStream)
}

func newArchiveKeygenCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "keygen NAME",
		Short: "Make the key that signs an archive",
		Long: `Makes an Ed25519 key for the archive of this name, and writes two files: one with the
private key, for "backhaul archive" alone, and one with .pub behind its name with the
public key, for everybody who verifies. Neither may exist. The name says for ever which
archive a checkpoint is of: choose one that nobody else has, such as a host name of
yours and a path.

Keep a copy of the public key where nobody who can write to the archive can change it.`,
		Example: `  backhaul archive keygen backhaul.example.com/events -o archive.key`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return runArchiveKeygen(cmd, args[0], file) },
	}
	cmd.Flags().StringVarP(&file, "out", "o", "archive.key", "`file` for the private key")
	return cmd
}

func runArchiveKeygen(cmd *cobra.Command, name, file string) error {
	private, public, err := archive.GenerateKey(name)
	if err != nil {
		return &usageError{err}
	}
	if _, err := os.Stat(file + ".pub"); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s.pub is there already; name another file with --out, or remove both if nothing was signed with that key", file)
	}
	if err := writeNew(file, private, 0o600); err != nil {
		return err
	}
	if err := writeNew(file+".pub", public, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "private key  %s\npublic key   %s.pub\n%s\n", file, file, public)
	return nil
}

// writeNew writes a line into a file that is not there yet.
func writeNew(name, line string, mode os.FileMode) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already; name another file with --out: who loses a private key cannot sign its archive any more", name)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(line + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}
