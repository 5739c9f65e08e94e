package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/secret"
	"backhaul/cmd/internal/serverurl"
	"backhaul/consumer/archiver"
	"backhaul/consumer/trigger/objectstore"
	"backhaul/schemas/bounded"
)

// The groups of settings of the archive.
const (
	GroupArchive  Group = "archive"  // read it
	GroupArchiver Group = "archiver" // write it
)

// Archive has the settings of the archive of events.
type Archive struct {
	// Location is a directory, or s3://bucket/prefix.
	Location string
	// PublicKey is a file with the public keys of the log.
	PublicKey string
	// Key signs checkpoints.
	Key       secret.Source
	Every     time.Duration
	SealEvery time.Duration
	Bucket    ArchiveBucket
}

// ArchiveBucket has the settings of an archive in a bucket.
type ArchiveBucket struct {
	S3
	// Retention is how long what was archived cannot be deleted.
	Retention time.Duration
	// LockMode is compliance or governance.
	LockMode string
	// HoldLabel is the label of requests whose events are held.
	HoldLabel string
}

// The modes of a bucket's object lock.
const (
	lockCompliance = "compliance"
	lockGovernance = "governance"
)

func (a *Archive) settings() []setting {
	place := []setting{
		{
			group: GroupArchive, key: "archive.location", env: "BACKHAUL_ARCHIVE", flag: "archive",
			field: &a.Location,
			usage: "`directory` of the archive of events, or s3://BUCKET/PREFIX",
			doc: "A directory is made by `backhaul archive`, a bucket is not. Only one process can write to it, as many as like can " +
				"read it.",
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
	bucket := a.Bucket.S3.settings(s3Place{
		group: GroupArchive, key: "archive.s3", env: "BACKHAUL_ARCHIVE_S3_", flag: "archive-s3-", store: "the archive's bucket",
		endpoint: "It must know conditional writes (If-Match, If-None-Match).",
		access: "To archive it must be allowed to get and put objects and their retention, and, to tidy up, to list and delete them. To read, " +
			"to get objects.", plain: "The events",
	})
	return slices.Concat(place, bucket, a.Bucket.lockSettings())
}

// lockSettings are those of how long a bucket keeps what it has.
func (b *ArchiveBucket) lockSettings() []setting {
	return []setting{
		{
			group: GroupArchiver, key: "archive.retention", env: "BACKHAUL_ARCHIVE_RETENTION", flag: "archive-retention",
			field: &b.Retention, fallback: "0",
			usage: "how long nobody can delete what was archived into a bucket, 0 means what the bucket says",
			doc: "61320h are seven years. The bucket must have object lock. It begins when an event was stored, by the NATS server's clock. The " +
				"checkpoint and what is not full yet are replaced soon, and locked for 720h at most.",
		},
		{
			group: GroupArchiver, key: "archive.lockMode", env: "BACKHAUL_ARCHIVE_LOCK_MODE", flag: "archive-lock-mode",
			field: &b.LockMode, fallback: lockCompliance, oneOf: []string{lockCompliance, lockGovernance},
			usage: "the mode of that retention",
			doc:   "compliance: nobody can end it before. governance: who has s3:BypassGovernanceRetention can.",
		},
		{
			group: GroupArchiver, key: "archive.holdLabel", env: "BACKHAUL_ARCHIVE_HOLD_LABEL", flag: "archive-hold-label",
			field: &b.HoldLabel, fallback: "legal-hold",
			usage: "`label` of requests whose events are put on legal hold in a bucket",
			doc:   "With any value. The whole bundle of 256 events with one of them is held, until someone takes the hold away in the store.",
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
		e.add("BACKHAUL_ADMIN_ADDR: is %q, must be an address such as "+ArchiveAdminAddr+", or off", c.Admin.Addr)
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
	scheme, rest, isURL := strings.Cut(a.Location, "://")
	switch {
	case a.Location == "":
		return nil, errors.New("no archive: set BACKHAUL_ARCHIVE or --archive, for example /var/lib/backhaul/archive")
	case !isURL:
		return archive.NewDir(a.Location), nil
	case scheme != "s3":
		return nil, fmt.Errorf("BACKHAUL_ARCHIVE: is %q, must be a directory or s3://BUCKET/PREFIX", serverurl.MaskOne(a.Location))
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if prefix = strings.Trim(prefix, "/"); prefix != "" {
		prefix += "/"
	}
	return a.Bucket.store(bucket, prefix)
}

func (b ArchiveBucket) store(name, prefix string) (archive.Store, error) {
	switch {
	case name == "":
		return nil, errors.New("BACKHAUL_ARCHIVE: names no bucket, must be s3://BUCKET/PREFIX")
	case b.Endpoint == "":
		return nil, errors.New("the archive is in a bucket: set BACKHAUL_ARCHIVE_S3_ENDPOINT or --archive-s3-endpoint, for example https://s3.eu-central-1.amazonaws.com")
	case b.plain():
		return nil, errors.New("BACKHAUL_ARCHIVE_S3_ENDPOINT: plain http to another machine: use https, or set --archive-s3-insecure-http")
	case !b.AccessKey.Given() || !b.SecretKey.Given():
		return nil, errors.New("the archive is in a bucket: set BACKHAUL_ARCHIVE_S3_ACCESS_KEY and BACKHAUL_ARCHIVE_S3_SECRET_KEY, or files with them in …_FILE")
	}
	store, err := objectstore.New(b.S3.Store())
	if err != nil {
		return nil, fmt.Errorf("%w (BACKHAUL_ARCHIVE_S3_ENDPOINT, BACKHAUL_ARCHIVE_S3_CA)", err)
	}
	return archive.NewBucket(store.Bucket(name, prefix), "s3://"+name+"/"+strings.TrimSuffix(prefix, "/"),
		archive.BucketOptions{Retention: b.Retention, Governance: b.LockMode == lockGovernance}), nil
}

// Options returns how the archive is written.
func (a Archive) Options() archive.Options {
	if a.Bucket.HoldLabel == "" || !strings.Contains(a.Location, "://") {
		return archive.Options{}
	}
	return archive.Options{Hold: archive.HoldLabel(a.Bucket.HoldLabel)}
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
