package roles_test

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/archive"
	"backhaul/cmd/internal/provision"
	"backhaul/consumer/archiver"
	"backhaul/publisher"
	"backhaul/schemas"
)

// runTheArchiver runs a real archiver as its user until it has archived everything, a checkpoint
// that it published included.
func runTheArchiver(g *guarded) error {
	if _, err := provision.ApplyArchive(g.within(), g.jetstream("archiver"), false); err != nil {
		return err
	}
	private, _, err := archive.GenerateKey("backhaul.example.com/events")
	if err != nil {
		return err
	}
	signer, err := archive.OpenPrivateKey(private)
	if err != nil {
		return err
	}
	store := archive.NewDir(filepath.Join(g.t.TempDir(), "archive"))
	worker, err := archiver.New(archiver.Config{
		Open: func(ctx context.Context) (archiver.Log, error) {
			log, err := archive.Open(ctx, store, signer, archive.Options{})
			if err != nil {
				return nil, err
			}
			return log, nil
		},
		Every: 20 * time.Millisecond, SealEvery: 50 * time.Millisecond,
	}, g.as("archiver"), zerolog.Nop())
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(g.within())
	done := make(chan struct{})
	go func() { defer close(done); worker.Run(ctx) }()
	defer func() { stop(); <-done }()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		sealed := 0
		if r, err := archive.NewReader(g.within(), store, signer.Keys); err == nil {
			err = r.Messages(g.within(), 0, func(m archive.Message) error {
				if m.Subject == publisher.OperatorSubject(schemas.ActionSealed) {
					sealed++
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if sealed > 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return errors.Join(errors.New("no checkpoint came into the archive"), worker.Ready(), worker.Sealing())
		}
	}
}
