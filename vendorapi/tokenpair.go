package vendorapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"
)

// tokenPair is an access token with the refresh token that renews it, as it
// stands in its file. Renewing makes a new pair and ends the old one; using the
// old one again makes the vendor delete the whole chain and write to its owner.
// So one process renews at a time, and what it does is on disk before it is done.
// Basis: the vendor's page "Using refresh tokens to renew access tokens".
type tokenPair struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken"`
	// State is "" for a pair that may be used.
	State pairState `json:"state,omitempty"`
}

type pairState string

const (
	// pairRenewing: a renewal was begun and its answer is not known.
	pairRenewing pairState = "renewing"
	// pairRefused: the vendor does not renew the pair.
	pairRefused pairState = "refused"
)

// pairStore is the file that all processes with the same token share.
type pairStore struct {
	file string
}

// lockPoll is how often a lock that another process holds is tried again.
const lockPoll = 50 * time.Millisecond

// current is the pair in the file. A file that is not there yet is waited for by
// trying again later, like a vendor that is down.
func (s pairStore) current() (tokenPair, error) {
	data, err := os.ReadFile(s.file)
	if errors.Is(err, fs.ErrNotExist) {
		return tokenPair{}, fmt.Errorf("there is no token pair in %s yet", s.file)
	}
	if err != nil {
		return tokenPair{}, fmt.Errorf("read the token pair: %w", err)
	}
	var pair tokenPair
	if err := json.Unmarshal(data, &pair); err != nil || pair.AccessToken == "" || pair.RefreshToken == "" {
		return tokenPair{}, fmt.Errorf(`%s is not {"accessToken":"…","refreshToken":"…"}`, s.file)
	}
	switch pair.State {
	case "":
		return pair, nil
	case pairRefused:
		return tokenPair{}, &LoginError{Message: "the vendor does not renew the token pair; put a new one into " + s.file}
	default:
		return tokenPair{}, &LoginError{Message: "a renewal of the token pair was interrupted, and using the pair again would delete it; put a new one into " + s.file}
	}
}

// write replaces the file, so that after a crash there is the old pair or the
// new one, whole.
func (s pairStore) write(pair tokenPair) error {
	data, err := json.Marshal(pair)
	if err != nil {
		return err
	}
	temporary, err := os.CreateTemp(filepath.Dir(s.file), filepath.Base(s.file)+".*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temporary.Name()) }() // after the rename there is none
	_, err = temporary.Write(data)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), s.file); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(s.file))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// lock keeps every other process from renewing. The lock ends with the process.
func (s pairStore) lock(ctx context.Context) (unlock func(), err error) {
	file, err := os.OpenFile(s.file+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the token pair: %w", err)
	}
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = file.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock the token pair: %w", err), file.Close())
		}
		timer := time.NewTimer(lockPoll)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
	}
}

// renewed is a pair whose access token is not the refused one: the one that
// another process has put into the file, or a new one from the vendor.
func (s pairStore) renewed(ctx context.Context, c *Client, refused string) (tokenPair, error) {
	unlock, err := s.lock(ctx)
	if err != nil {
		return tokenPair{}, err
	}
	defer unlock()
	pair, err := s.current()
	if err != nil || pair.AccessToken != refused {
		return pair, err
	}
	if err := s.write(tokenPair{pair.AccessToken, pair.RefreshToken, pairRenewing}); err != nil {
		return tokenPair{}, fmt.Errorf("note the renewal of the token pair: %w", err)
	}
	next, err := c.renew(ctx, pair)
	switch {
	case err == nil:
		if err := s.write(next); err != nil {
			return tokenPair{}, fmt.Errorf("keep the new token pair: %w", err)
		}
		return next, nil
	case VerdictOf(err) == NotSent:
		return tokenPair{}, errors.Join(err, s.write(pair))
	case VerdictOf(err) == Refused:
		return tokenPair{}, errors.Join(&LoginError{Message: "the vendor does not renew the token pair"},
			s.write(tokenPair{pair.AccessToken, pair.RefreshToken, pairRefused}))
	default:
		return tokenPair{}, fmt.Errorf("the answer to the renewal of the token pair was lost: %w", err)
	}
}

// renew asks the vendor for the next pair.
func (c *Client) renew(ctx context.Context, pair tokenPair) (tokenPair, error) {
	body, err := json.Marshal(map[string]string{"accessToken": pair.AccessToken, "refreshToken": pair.RefreshToken})
	if err != nil {
		return tokenPair{}, err
	}
	const op = "AccessToken/Renew"
	resp, err := c.do(ctx, call{
		op: op, method: http.MethodPost, path: "/V4/AccessToken/Renew",
		contentType: "application/json", accept: "application/json", body: body,
	}, http.Header{"Authorization": {"Bearer " + pair.AccessToken}})
	if err != nil {
		return tokenPair{}, err
	}
	var next tokenPair
	err = json.Unmarshal(bytes.TrimSpace(resp.body), &next)
	switch {
	case resp.status == http.StatusOK && err == nil && next.AccessToken != "" && next.RefreshToken != "":
		next.State = ""
		return next, nil
	case resp.status >= 400 && resp.status < 500 && resp.status != http.StatusTooManyRequests:
		return tokenPair{}, &Error{Verdict: Refused, Op: op, Status: resp.status}
	default:
		return tokenPair{}, &Error{Op: op, Status: resp.status}
	}
}
