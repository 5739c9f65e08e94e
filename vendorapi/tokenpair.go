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

// pairRenewal gets access tokens from a file with a token pair, and renews the
// pair when its access token is refused. Basis: the vendor's page "Using refresh
// tokens to renew access tokens".
//
// Renewing ends the old pair. Whoever then uses the old one again makes the
// vendor delete the whole chain of pairs. So the steps of a renewal are, under a
// lock that all processes with the file share:
//
//  1. look whether the file has another pair by now: then that is the token
//  2. note in the file that a renewal has begun
//  3. send it, once
//  4. write the new pair into the file; or the old one without the note, if the
//     vendor certainly did not renew it
//  5. use what is in the file
//
// A crash between 2 and 4 leaves the note. Then nobody renews any more: whether
// the pair is the latest is not to be found out, and an operator has to put a new
// one into its place.
type pairRenewal struct {
	client *Client
	file   pairFile
	// made is the token of the last pair that was renewed here.
	made *token
}

const (
	// shortestLife is below every life time of access tokens that the vendor's
	// documents name (2 minutes to 2 hours). A token that is refused sooner can
	// hardly have expired, so the vendor is asked before it is renewed again:
	// else there would be a renewal for each of many requests that are denied.
	shortestLife = time.Minute
	// lockPoll is how often a lock that another process has is tried again.
	lockPoll = 50 * time.Millisecond
	// writePause and writeTries are for a pair that must get into the file.
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

// tokenOf is a pair's token: the very one that was made here, if it is.
func (p *pairRenewal) tokenOf(pair tokenPair) *token {
	if p.made != nil && pair.isOf(p.made) {
		return p.made
	}
	p.client.tokenExpires.Store(0) // another process knows
	return pair.token()
}

// renew exchanges the pair in the file for a new one, steps 2 to 5.
func (p *pairRenewal) renew(ctx context.Context, file pairFile, pair tokenPair) (*token, error) {
	noted := pair
	noted.Renewing = time.Now().UTC().Format(time.RFC3339)
	if err := file.write(noted); err != nil {
		// It may have been written all the same.
		return nil, errors.Join(fmt.Errorf("note the renewal of the token pair: %w", err), file.write(pair))
	}
	// The caller may go, but the answer is waited for: without it the pair is lost.
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

// replaced tells whether the file has a pair now that may be tried.
func (p *pairRenewal) replaced(refused *token) bool {
	pair, err := p.file.resolved().read()
	return err == nil && pair.Renewing == "" && (refused == nil || !pair.isOf(refused))
}

// end leaves the pair in its file, for the next process.
func (*pairRenewal) end(context.Context, *token) {}

// tokenPair is an access token with the refresh token that renews it, as it
// stands in its file.
type tokenPair struct {
	Access  string `json:"accessToken"`
	Refresh string `json:"refreshToken"`
	// Renewing is when a renewal began that is not known to have ended, or "".
	Renewing string `json:"renewing,omitempty"`
}

func (p tokenPair) token() *token {
	return newToken("Authorization", Secret("Bearer "+p.Access))
}

func (p tokenPair) isOf(t *token) bool { return p.token().is(t) }

// usable tells whether both tokens can be sent.
func (p tokenPair) usable() bool {
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return p.Access != "" && p.Refresh != "" && strings.IndexFunc(p.Access+p.Refresh, odd) < 0
}

// pairFile is the path of a token pair. No error of it shows what is in the file.
type pairFile string

// resolved is the file behind symbolic links: replacing a link would leave the
// file itself to the other processes, with the old pair.
func (f pairFile) resolved() pairFile {
	if target, err := filepath.EvalSymlinks(string(f)); err == nil {
		return pairFile(target)
	}
	return f
}

// check refuses a place where no pair can be kept and locked, and a file that is
// none. The file itself may come later.
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
		return tokenPair{}, fmt.Errorf("there is no token pair yet (BACKHAUL_VENDOR_TOKEN_PAIR_FILE): %w", err)
	}
	if err != nil {
		return tokenPair{}, fmt.Errorf("read the token pair: %w", err)
	}
	var pair tokenPair
	if err := json.Unmarshal(data, &pair); err != nil || !pair.usable() {
		return tokenPair{}, fmt.Errorf(`token pair file %s: is not {"accessToken":"…","refreshToken":"…"}`, f)
	}
	return pair, nil
}

// write replaces the file in one step: after a crash of the machine there is the
// pair before or this one, whole. It is readable by its owner only.
func (f pairFile) write(pair tokenPair) error {
	data, err := json.Marshal(pair)
	if err != nil {
		return err
	}
	// Whoever writes has the lock, so one name will do and nothing is left behind.
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

// syncFile is [os.File.Sync]. A test sees by it what is on disk when.
var syncFile = (*os.File).Sync

// replace writes a pair in the place of the note of its renewal. It takes its time,
// because a pair must not be lost when a disk or a share fails for a moment. A
// pair that an operator has put there meanwhile is left alone: it is nowhere else
// either.
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

// lock keeps every other process from using or renewing the pair. The system
// takes it from a process that ends.
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
