package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/secret"
	"backhaul/consumer/archiver"
	"backhaul/schemas/bounded"
)

// The groups of settings of the archive.
const (
	GroupArchive  Group = "archive"  // read it
	GroupArchiver Group = "archiver" // write it
)

// Archive has the settings of the archive of events.
type Archive struct {
	// Location is a directory.
	Location string
	// PublicKey is a file with the public keys of the log.
	PublicKey string
	// Key signs checkpoints.
	Key       secret.Source
	Every     time.Duration
	SealEvery time.Duration
}

func (a *Archive) settings() []setting {
	return []setting{
		{
			group: GroupArchive, key: "archive.location", env: "BACKHAUL_ARCHIVE", flag: "archive",
			field: &a.Location,
			usage: "`directory` of the archive of events",
			doc:   "`backhaul archive` makes it. Only one process can write to it, as many as like can read it.",
		},
		{
			group: GroupArchive, key: "archive.publicKey", env: "BACKHAUL_ARCHIVE_PUBLIC_KEY", flag: "archive-public-key",
			field: &a.PublicKey, reads: true,
			usage: "`file` with the public key that checkpoints of the archive are verified with",
			doc: "Several keys, one in a line, if one was replaced. Have it from who made the key, and not from the archive: who can " +
				"change that can change both. `backhaul archive` needs it only if the key was replaced.",
		},
		{
			group: GroupArchiver, key: "archive.key", env: "BACKHAUL_ARCHIVE_KEY",
			field: &a.Key,
			usage: "the private key that signs checkpoints of the archive",
			doc:   "`backhaul archive keygen` makes it.",
		},
		{
			group: GroupArchiver, key: "archive.every", env: "BACKHAUL_ARCHIVE_EVERY", flag: "archive-every",
			field: &a.Every, fallback: text(archiver.DefaultEvery), least: int64(time.Second / 10),
			usage: "how long an event may wait for others that are archived and signed with it",
		},
		{
			group: GroupArchiver, key: "archive.sealEvery", env: "BACKHAUL_ARCHIVE_SEAL_EVERY", flag: "archive-seal-every",
			field: &a.SealEvery, fallback: text(archiver.DefaultSealEvery), least: int64(time.Second),
			usage: "time between two checkpoints that are published as events",
			doc:   "Without anything new in the archive there is none.",
		},
	}
}

// CheckArchive returns an [*Error] if `backhaul archive` cannot work with the settings. It starts
// nothing.
func (c *Config) CheckArchive() error {
	var e Error
	if c.NATS.URL == "" {
		e.add("`backhaul archive` needs a server: set --nats or BACKHAUL_NATS_URL, for example nats://127.0.0.1:4222, or --nats-context")
	}
	if !c.Admin.Off() && !isAddress(c.Admin.Addr) {
		e.add("BACKHAUL_ADMIN_ADDR: is %q, must be an address such as 127.0.0.1:9090, or off", c.Admin.Addr)
	}
	if problem := c.Admin.problem(); problem != "" {
		e.add("BACKHAUL_ADMIN_PPROF: %s", problem)
	}
	if _, err := c.Archive.Store(); err != nil {
		e.add("%v", err)
	}
	if _, err := c.Archive.Signer(); err != nil {
		e.add("%v", err)
	}
	if len(e.Problems) > 0 {
		c.locate(e.Problems)
		return &e
	}
	return nil
}

// Store returns where the archive is.
func (a Archive) Store() (archive.Store, error) {
	switch {
	case a.Location == "":
		return nil, errors.New("no archive: set BACKHAUL_ARCHIVE or --archive, for example /var/lib/backhaul/archive")
	case strings.Contains(a.Location, "://"):
		return nil, fmt.Errorf("BACKHAUL_ARCHIVE: is %q, must be a directory", a.Location)
	}
	return archive.NewDir(a.Location), nil
}

// Signer returns the key that signs checkpoints, and the keys that may have signed earlier ones.
func (a Archive) Signer() (archive.Signer, error) {
	if !a.Key.Given() {
		return archive.Signer{}, errors.New("no key for the archive: `backhaul archive keygen` makes one; set BACKHAUL_ARCHIVE_KEY_FILE to its file")
	}
	text, err := a.Key.Read()
	if err != nil {
		return archive.Signer{}, fmt.Errorf("key of the archive: %w (BACKHAUL_ARCHIVE_KEY_FILE)", err)
	}
	signer, err := archive.OpenPrivateKey(text)
	if err != nil {
		return archive.Signer{}, fmt.Errorf("key of the archive: %w (BACKHAUL_ARCHIVE_KEY_FILE)", err)
	}
	if a.PublicKey == "" {
		return signer, nil
	}
	earlier, err := a.Keys()
	if err == nil {
		signer, err = signer.With(earlier)
	}
	if err != nil {
		return archive.Signer{}, fmt.Errorf("%w (BACKHAUL_ARCHIVE_PUBLIC_KEY)", err)
	}
	return signer, nil
}

// Keys returns the public keys of the archive.
func (a Archive) Keys() (archive.Keys, error) {
	if a.PublicKey == "" {
		return nil, errors.New("no public key of the archive: set --archive-public-key or BACKHAUL_ARCHIVE_PUBLIC_KEY to the file that " +
			"`backhaul archive keygen` made beside the private one (its name ends in .pub)")
	}
	data, err := bounded.ReadFile(a.PublicKey, bounded.Small)
	if err != nil {
		return nil, fmt.Errorf("public key of the archive: %w", err)
	}
	keys, err := archive.OpenPublicKeys(string(data))
	if err != nil {
		return nil, fmt.Errorf("public key of the archive: %s: %w", a.PublicKey, err)
	}
	return keys, nil
}
