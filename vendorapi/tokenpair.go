package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"backhaul/schemas/bounded"
)

// pairRenewal reads access tokens from a file with a token pair, and renews the pair when its
// access token is refused. Basis:
// https://documentation.commvault.com/11.44/commcell-console/using_refresh_tokens_to_renew_access_tokens.html.
//
// Renewing ends the old pair. When the old pair is used again, the vendor deletes the whole chain
// of pairs. So the steps of a renewal, under a lock that all processes with the file share, are:
//
//  1. check whether the file has another pair: then use its token
//  2. note in the file that a renewal has begun
//  3. send it, once
//  4. write the new pair into the file; or the old one without the note, if the
//     vendor certainly did not renew it
//  5. use the pair in the file
//
// A crash between 2 and 4 leaves the note. No process renews after that: it is not known whether
// the pair is the latest, and an operator has to replace it.
type pairRenewal struct {
	client *Client
	file   pairFile
	// made is the token of the last pair that this process renewed.
	made *token
}

const (
	// shortestLife is shorter than every life time of access tokens in the vendor's documents (2
	// minutes to 2 hours,
	// https://documentation.commvault.com/saas/using_refresh_tokens_to_renew_access_tokens.html for
	// 30 minutes). A token that is refused earlier has hardly expired, so WhoAmI is called before a
	// renewal. Otherwise each of many denied requests would cause one.
	shortestLife = time.Minute
	// lockPoll is how often to try a lock that another process has.
	lockPoll = 50 * time.Millisecond
	// writePause and writeTries bound the attempts to write a pair that must not be lost.
	writePause = time.Second
	writeTries = 10
)

func (p *pairRenewal) next(ctx context.Context, refused *token) (*token, error) {
	file := p.file.resolved()
	unlock, err := file.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	pair, err := file.read()
	switch {
	case err != nil:
		return nil, err
	case pair.Renewing != "":
		return nil, &LoginError{Message: fmt.Sprintf("the renewal of the token pair in %s that began at %s was interrupted, "+
			"and a second one could make the vendor delete the pair; put a new pair there", file, pair.Renewing)}
	case refused == nil || !pair.isOf(refused):
		return p.tokenOf(pair), nil
	}
	return p.renew(ctx, file, pair)
}

// tokenOf returns a pair's token: the same pointer if this process made it.
func (p *pairRenewal) tokenOf(pair tokenPair) *token {
	if p.made != nil && pair.isOf(p.made) {
		return p.made
	}
	p.client.tokenExpires.Store(0) // another process renewed it
	return pair.token()
}

// renew exchanges the pair in the file for a new one, steps 2 to 5.
func (p *pairRenewal) renew(ctx context.Context, file pairFile, pair tokenPair) (*token, error) {
	noted := pair
	noted.Renewing = time.Now().UTC().Format(time.RFC3339)
	if err := file.write(noted); err != nil {
		// The write may have succeeded in spite of the error.
		return nil, errors.Join(fmt.Errorf("note the renewal of the token pair: %w", err), file.write(pair))
	}
	// A renewal does not end with its caller: without the answer the pair is lost.
	next, err := p.client.renewPair(context.WithoutCancel(ctx), pair)
	switch _, refused := errors.AsType[*LoginError](err); {
	case err == nil:
	case refused, VerdictOf(err) != Unknown:
		return nil, errors.Join(err, file.replace(noted, pair))
	default:
		return nil, &LoginError{Message: fmt.Sprintf("the answer to the renewal of the token pair in %s was lost, "+
			"and a second one could make the vendor delete the pair; put a new pair there (%v)", file, err)}
	}
	if err := file.replace(noted, next); err != nil {
		return nil, &LoginError{Message: fmt.Sprintf("the new token pair could not be written, and the old one has ended; put a new pair into %s (%v)", file, err)}
	}
	p.made = next.token()
	p.made.made = time.Now()
	return p.made, nil
}

// replaced reports whether the file has a pair that may be tried.
func (p *pairRenewal) replaced(refused *token) bool {
	pair, err := p.file.resolved().read()
	return err == nil && pair.Renewing == "" && (refused == nil || !pair.isOf(refused))
}

// end does nothing: the pair stays in its file for the next process.
func (*pairRenewal) end(context.Context, *token) {}

// tokenPair is an access token and the refresh token that renews it, as in the file.
type tokenPair struct {
	Access  string `json:"accessToken"`
	Refresh string `json:"refreshToken"`
	// Renewing is when a renewal began whose end is not known, or "".
	Renewing string `json:"renewing,omitempty"`
}

func (p tokenPair) token() *token {
	return newToken("Authorization", Secret("Bearer "+p.Access))
}

func (p tokenPair) isOf(t *token) bool { return p.token().is(t) }

// usable reports whether both tokens can be sent.
func (p tokenPair) usable() bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return p.Access != "" && p.Refresh != "" && strings.IndexFunc(p.Access+p.Refresh, odd) < 0
}

// pairFile is the path of a token pair. Its errors do not contain the content of the file.
type pairFile string

// resolved returns the file behind symbolic links. Replacing a link would leave the old pair to the
// other processes.
func (f pairFile) resolved() pairFile {
	if target, err := filepath.EvalSymlinks(string(f)); err == nil {
		return pairFile(target)
	}
	return f
}

// check returns an error if a pair cannot be kept and locked at the path, or if the file is not a
// pair. The file itself may be missing.
func (f pairFile) check() error {
	file := f.resolved()
	lock, err := file.openLock()
	if err != nil {
		return err
	}
	_, err = flock(lock) // a busy lock is a lock
	if err := errors.Join(err, lock.Close()); err != nil {
		return fmt.Errorf("lock the token pair: %w", err)
	}
	if _, err := file.read(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (f pairFile) read() (tokenPair, error) {
	data, err := bounded.ReadText(string(f), bounded.Small)
	if errors.Is(err, fs.ErrNotExist) {
		return tokenPair{}, fmt.Errorf("the token pair file does not exist yet (BACKHAUL_VENDOR_TOKEN_PAIR_FILE): %w", err)
	}
	if err != nil {
		return tokenPair{}, fmt.Errorf("read the token pair: %w", err)
	}
	var pair tokenPair
	if err := json.Unmarshal(data, &pair); err != nil || !pair.usable() {
		return tokenPair{}, fmt.Errorf(`token pair file %s must be {"accessToken":"…","refreshToken":"…"}`, f)
	}
	return pair, nil
}

// write replaces the file in one step: after a crash of the machine it has the old pair or the new
// one, complete. Only its owner can read it.
func (f pairFile) write(pair tokenPair) error {
	data, err := json.Marshal(pair)
	if err != nil {
		return err
	}
	// The writer has the lock, so one name is enough and no file is left behind.
	next, err := os.OpenFile(string(f)+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = next.Write(append(data, '\n'))
	if err := errors.Join(err, syncFile(next), next.Close()); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), string(f)); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(syncFile(dir), dir.Close())
}

// syncFile is [os.File.Sync]. Tests replace it.
var syncFile = (*os.File).Sync

// replace writes a pair in place of the note of its renewal. It retries, because a pair must not be
// lost when a disk or a share fails for a moment. It does not replace a pair that an operator has
// put there meanwhile.
func (f pairFile) replace(noted, pair tokenPair) (err error) {
	for range writeTries {
		if there, err := f.read(); err == nil && there != noted && there != pair {
			return nil
		}
		if err = f.write(pair); err == nil {
			return nil
		}
		<-time.After(writePause)
	}
	return fmt.Errorf("write the token pair: %w", err)
}

func (f pairFile) openLock() (*os.File, error) {
	lock, err := os.OpenFile(string(f)+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the token pair: %w", err)
	}
	return lock, nil
}

// lock keeps every other process from using or renewing the pair. The system releases it when the
// process ends.
func (f pairFile) lock(ctx context.Context) (unlock func(), err error) {
	lock, err := f.openLock()
	if err != nil {
		return nil, err
	}
	for {
		busy, err := flock(lock)
		switch {
		case err != nil:
			return nil, errors.Join(fmt.Errorf("lock the token pair: %w", err), lock.Close())
		case !busy:
			return func() { _ = lock.Close() }, nil
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(fmt.Errorf("another process is renewing the token pair: %w", context.Cause(ctx)), lock.Close())
		}
	}
}
