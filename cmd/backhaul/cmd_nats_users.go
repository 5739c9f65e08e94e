package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"backhaul/deploy"
)

func newNATSUsersCommand() *cobra.Command {
	var accounts bool
	cmd := &cobra.Command{
		Use:   "nats-users DIR",
		Short: "Write the configuration and new keys of all NATS users",
		Long: `Writes into a new directory what a nats-server needs for users with the permissions of
Backhaul's roles: permissions.conf (or accounts.conf), roles.conf, keys.conf with the
public keys, and for each user a file USER.nk with its seed, readable by its owner
only. The server needs no seed: give each file to its client, and delete it here.

The keys are new each time and are kept nowhere else. NATS is not asked. The service's user
may make no streams: "backhaul setup" makes them as the provisioner, before the first
"backhaul run". deploy/nats/README.md says what each role may do, and how to add, rotate
and revoke keys.`,
		Example: `  backhaul nats-users /etc/nats/backhaul
  NATS_STORE_DIR=/var/lib/nats nats-server -c /etc/nats/backhaul/permissions.conf
  BACKHAUL_NATS_NKEY=/etc/nats/backhaul/provisioner.nk backhaul setup --nats nats://127.0.0.1:4222 --nats-inbox-prefix _INBOX_provisioner
  BACKHAUL_NATS_NKEY=/etc/nats/backhaul/backhaul.nk BACKHAUL_NATS_INBOX_PREFIX=_INBOX_backhaul backhaul run --nats nats://127.0.0.1:4222`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runNATSUsers(cmd, args[0], accounts) },
	}
	cmd.Flags().BoolVar(&accounts, "accounts", false, "an account for each upstream system and for auditors, instead of one for all")
	return cmd
}

// userKey finds the users in a configuration: each names its key.
var userKey = regexp.MustCompile(`nkey: \$([A-Z]+)_KEY\b`)

func runNATSUsers(cmd *cobra.Command, dir string, accounts bool) error {
	main := "permissions.conf"
	if accounts {
		main = "accounts.conf"
	}
	if err := os.Mkdir(dir, 0o755); errors.Is(err, fs.ErrExist) {
		return &usageError{fmt.Errorf("%s is there already; name a directory that is not: keys in use are not written over", dir)}
	} else if err != nil {
		return err
	}
	conf, err := deploy.NATSUsers.ReadFile("nats/" + main)
	if err != nil {
		return err
	}
	roles, err := deploy.NATSUsers.ReadFile("nats/roles.conf")
	if err != nil {
		return err
	}
	var keys strings.Builder
	var users []string
	for _, found := range userKey.FindAllSubmatch(conf, -1) {
		user := strings.ToLower(string(found[1]))
		public, err := writeSeed(filepath.Join(dir, user+".nk"))
		if err != nil {
			return err
		}
		fmt.Fprintf(&keys, "%s_KEY: %s\n", found[1], public)
		users = append(users, user)
	}
	for name, text := range map[string]string{main: string(conf), "roles.conf": string(roles), "keys.conf": keys.String()} {
		if err := writeNew(filepath.Join(dir, name), strings.TrimSuffix(text, "\n"), 0o644); err != nil {
			return err
		}
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "server   NATS_STORE_DIR=/var/lib/nats nats-server -c %s\n\nuser         seed, and its setting --nats-inbox-prefix\n", filepath.Join(dir, main))
	for _, user := range users {
		fmt.Fprintf(out, "%-12s %s  _INBOX_%s\n", user, filepath.Join(dir, user+".nk"), user)
	}
	return nil
}

// writeSeed writes the seed of a new user, and returns its public key.
func writeSeed(file string) (public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", err
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", err
	}
	if err := writeNew(file, string(seed), 0o600); err != nil {
		return "", err
	}
	return pair.PublicKey()
}
