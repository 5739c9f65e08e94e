package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// left makes the journal of a dead process with one claim, and returns its path.
func left(t *testing.T, dir, ledger, text string) string {
	t.Helper()
	j, err := Open(dir, ledger, 1)
	if err != nil {
		t.Fatal(err)
	}
	j.Begin(text)
	if err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	return j.path
}

// A journal that cannot be read is reported and stays. The others are read.
func TestFindDead_oneCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left(t, dir, "ledger", "a")
	left(t, dir, "ledger", "b")
	for _, name := range []string{"ledger-0.claims", "ledger-zz.claims"} { // before and behind the others
		if err := os.Symlink(left(t, t.TempDir(), "ledger", "of another directory"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	all, err := FindDead(dir, "ledger")
	if err == nil || !strings.Contains(err.Error(), "ledger-0.claims") || !strings.Contains(err.Error(), "ledger-zz.claims") {
		t.Errorf("got %v, want an error for each of the links", err)
	}
	if len(all) != 2 {
		t.Errorf("%d journals are read, want 2", len(all))
	}
	for _, d := range all {
		if err := d.Close(true); err != nil {
			t.Error(err)
		}
	}
	if n := files(t, dir); n != 2 {
		t.Errorf("%d files are left, want the two links", n)
	}
}

// A failed read is an error and no empty journal: the caller removes an empty one.
func TestReadDead_fails(t *testing.T) {
	t.Parallel()
	path := left(t, t.TempDir(), "ledger", "a")
	file, err := os.OpenFile(path, os.O_WRONLY, 0) // it can be locked, and not be read
	if err != nil {
		t.Fatal(err)
	}
	if d, err := readDead(file); d != nil || err == nil {
		t.Errorf("got %+v, %v, want an error", d, err)
	}
	if err := file.Close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the file is still open: %v", err)
	}
	if d, err := openDead(path + "-gone"); d != nil || err != nil {
		t.Errorf("a file that is gone: %+v, %v", d, err)
	}
}

// A file that another process has removed is done with.
func TestDead_Close_afterARemoval(t *testing.T) {
	t.Parallel()
	path := left(t, t.TempDir(), "ledger", "a")
	d, err := openDead(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(path), d.Close(true)); err != nil {
		t.Error(err)
	}
}

// Only the journals of the ledger are read, and so removed.
func TestFindDead_onlyOfTheLedger(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	left(t, dir, "ledger", "a")
	if err := os.WriteFile(filepath.Join(dir, "ledger-1.other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for ledger, want := range map[string]int{"led": 0, "edger": 0, "ledger": 1} {
		all, err := FindDead(dir, ledger)
		if len(all) != want || err != nil {
			t.Errorf("%s: %d journals, %v, want %d", ledger, len(all), err, want)
		}
		for _, d := range all {
			_ = d.Close(false)
		}
	}
}

// An old file that is not regular is not opened: to read a pipe may take for ever.
func TestFindDead_aPipe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "pipe")
	if err := errors.Join(syscall.Mkfifo(path, 0o600), os.Chtimes(path, time.Now(), time.Now().Add(-2*old))); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := FindDead(dir, "ledger")
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the pipe is read")
	}
}

// A journal says of which boot, device and inode it is.
func TestHeaderOf(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var at syscall.Stat_t
	if err := syscall.Fstat(int(file.Fd()), &at); err != nil {
		t.Fatal(err)
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	got, err := headerOf(file)
	if want := fmt.Sprintf("boot %s\nfile %d.%d\n", strings.TrimSpace(string(boot)), at.Dev, at.Ino); err != nil || !strings.HasSuffix(string(got), want) {
		t.Errorf("got %q, %v, want %q at its end", got, err, want)
	}
}

// A directory of another user, and one on a file system that is not a disk of this machine, are not used.
func TestPrivate_refuses(t *testing.T) {
	t.Parallel()
	foreign := "/usr"
	if os.Geteuid() == 0 {
		foreign = t.TempDir()
		if err := os.Chown(foreign, 1, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := private(foreign); err == nil || !strings.Contains(err.Error(), "must belong to user") {
		t.Errorf("another user's: %v", err)
	}
	if err := private(fmt.Sprint("/proc/", os.Getpid())); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("not on a disk: %v", err)
	}
}

// A new directory is for its owner only.
func TestOpen_makesTheDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "claims")
	open(t, dir, 1)
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// A journal that cannot be prepared gets no name, and leaves no file.
func TestOpen_fails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Open(dir, "no/ledger", 1); err == nil {
		t.Error("a journal without a name is used")
	}
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files are left", n)
	}
	path := filepath.Join(dir, "new-1")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path) // it cannot be written to
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	j := &Journal{file: file, path: filepath.Join(dir, "ledger-1.claims")}
	if err := j.prepare(1); err == nil {
		t.Error("a file that cannot be written to is used")
	}
	if _, err := os.Stat(j.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file has its name: %v", err)
	}
}

// A text that does not fit into its slot is not kept: it would be written over the next claim.
func TestBegin_aLongText(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, 3)
	most := strings.Repeat("x", slotSize-textAt)
	for text, want := range map[string]bool{most: true, most + "x": false} {
		if kept := j.Begin(text) != nil; kept != want {
			t.Errorf("a text of %d bytes is kept: %t", len(text), kept)
		}
	}
	if err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	want(t, "of two", dead(t, dir, true), most+" false")
}

// readOnly makes each write to a journal fail.
func readOnly(t *testing.T, j *Journal) {
	t.Helper()
	file, err := os.Open(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := j.file.Close(); err != nil {
		t.Fatal(err)
	}
	j.file = file
}

// A claim that cannot be written is not kept. A mark that cannot be written costs the whole file.
func TestJournal_cannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, gone := range map[string]bool{"the file is removed": false, "the file was removed by another process": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j := open(t, dir, 2)
			a := j.Begin("a")
			readOnly(t, j)
			if j.Begin("b") != nil {
				t.Error("a claim is kept that could not be written")
			}
			if gone {
				if err := os.Remove(j.path); err != nil {
					t.Fatal(err)
				}
			}
			if err := a.Sent(); err != nil {
				t.Error(err)
			}
			if n := files(t, dir); n != 0 {
				t.Errorf("%d files are left", n)
			}
			if err := j.Close(false); err != nil {
				t.Error(err)
			}
		})
	}
}
