package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Claim is what a process has left in its journal.
type Claim struct {
	Text string
	// Sent reports that a call may have been made under the claim.
	Sent bool
}

// Dead is the journal of a process that is dead.
type Dead struct {
	Claims []Claim

	file *os.File
}

// maxFile bounds what is read of a journal.
const maxFile = 8 << 20

// old is when the journal of a dead process is of no use. A lease and a visibility window are
// minutes.
const old = 24 * time.Hour

// FindDead returns the journals of a ledger whose processes are dead. Each is locked until Close.
func FindDead(dir, ledger string) (all []*Dead, err error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("journal of claims: %w", err)
	}
	var failed error
	for _, file := range files {
		path := filepath.Join(dir, file.Name())
		if !strings.HasPrefix(file.Name(), ledger+"-") || !strings.HasSuffix(file.Name(), suffix) {
			removeOld(path, file)
			continue
		}
		d, err := openDead(path)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("journal of claims: %w", err))
		} else if d != nil {
			all = append(all, d)
		}
	}
	return all, failed
}

// removeOld removes the file of another ledger, or one that was never finished, if its process is
// dead and it is so old that no lease in it is in force.
func removeOld(path string, file os.DirEntry) {
	info, err := file.Info()
	if err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < old {
		return
	}
	if d, err := openDead(path); err == nil && d != nil {
		_ = d.Close(true)
	}
}

// openDead returns the journal in a file, nil if its process is alive or it is gone.
func openDead(path string) (*Dead, error) {
	file, err := openFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return readDead(file)
}

// readDead reads an open journal, and closes the file unless it returns one.
func readDead(file *os.File) (*Dead, error) {
	if busy, err := lock(file); err != nil || busy {
		return nil, errors.Join(err, file.Close())
	}
	d := &Dead{file: file}
	whole, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	header, err := headerOf(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	if len(whole) < slotSize || !bytes.Equal(bytes.TrimRight(whole[:slotSize], "\x00"), header) {
		return d, nil // of another boot, or a copy: nothing in it counts
	}
	for at := slotSize; at+slotSize <= len(whole); at += slotSize {
		if c, ok := decode(whole[at : at+slotSize]); ok {
			d.Claims = append(d.Claims, c)
		}
	}
	return d, nil
}

// Close ends the lock. If the claims are done with, the file is removed before.
func (d *Dead) Close(done bool) error {
	var err error
	if done {
		if err = os.Remove(d.file.Name()); errors.Is(err, os.ErrNotExist) {
			err = nil
		}
	}
	return errors.Join(err, d.file.Close())
}
