package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"backhaul/schemas/bounded"
)

const (
	// maxFile is more than the largest entry bundle.
	maxFile = tileWidth*(maxLeaf+2) + 1
	// dirMode and fileMode let a group read, and only the owner write, what request data is in.
	dirMode  = 0o750
	fileMode = 0o440
	// lockName is the file that is locked while a process appends.
	lockName = ".lock"
	// temporary begins the name of a file that is being written.
	temporary = ".new-"
)

// Dir is an archive in a directory of a local file system.
type Dir struct{ path string }

// NewDir returns the archive in a directory, which is made when something is written.
func NewDir(path string) *Dir { return &Dir{path} }

func (d *Dir) String() string { return d.path }

// Read implements [Store].
func (d *Dir) Read(_ context.Context, name string) ([]byte, error) {
	return bounded.ReadFile(filepath.Join(d.path, filepath.FromSlash(name)), maxFile)
}

// Write implements [Store]. A directory does not keep anybody from deleting; its file system may.
// The lock keeps others from writing meanwhile.
func (d *Dir) Write(ctx context.Context, name string, data []byte, _ Keep) error {
	there, err := d.Read(ctx, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return d.replace(name, data)
	case err != nil:
		return err
	case !bytes.Equal(there, data):
		return &OccupiedError{name}
	}
	// Its process may have been killed before this.
	return syncDir(filepath.Dir(filepath.Join(d.path, filepath.FromSlash(name))))
}

// replace writes a file, and replaces one of the same name.
func (d *Dir) replace(name string, data []byte) error {
	path := filepath.Join(d.path, filepath.FromSlash(name))
	parent := filepath.Dir(path)
	if err := d.makeAll(parent); err != nil {
		return err
	}
	f, err := os.CreateTemp(parent, temporary)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(fileMode)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return err
	}
	return syncDir(parent)
}

// Swap implements [Store]. The lock keeps others from it.
func (d *Dir) Swap(_ context.Context, checkpoint []byte, _ Keep) error {
	return d.replace(CheckpointName, checkpoint)
}

// Remove implements [Store].
func (d *Dir) Remove(_ context.Context, below string) {
	_ = os.RemoveAll(filepath.Join(d.path, filepath.FromSlash(below)))
}

// makeAll makes a directory and those above it, so that they stay.
func (d *Dir) makeAll(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := filepath.Dir(path); parent != path {
		if err := d.makeAll(parent); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, dirMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Lock implements [Store]. The lock ends with the process.
func (d *Dir) Lock() (unlock func(), err error) {
	if err := d.makeAll(d.path); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(d.path, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrOther
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { _ = f.Close() }, nil
}
