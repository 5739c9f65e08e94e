package journal

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func open(t *testing.T, dir string, slots int) *Journal {
	t.Helper()
	j, err := Open(dir, "ledger", slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close(false) })
	return j
}

// dead returns what the dead processes have left, and removes it if done.
func dead(t *testing.T, dir string, done bool) (found []string) {
	t.Helper()
	all, err := FindDead(dir, "ledger")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		for _, c := range d.Claims {
			found = append(found, fmt.Sprint(c.Text, " ", c.Sent))
		}
		if err := d.Close(done); err != nil {
			t.Error(err)
		}
	}
	slices.Sort(found)
	return found
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: left are %q, want %q", what, got, want)
	}
}

func files(t *testing.T, dir string) int {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// The journal has which claims were not sent. Nobody reads it while its process is alive.
func TestJournal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "claims")
	j := open(t, dir, 3)
	a, b := j.Begin("a"), j.Begin("b")
	for range 2 {
		if err := b.Sent(); err != nil {
			t.Fatal(err)
		}
	}
	want(t, "of a process that is alive", dead(t, dir, true))
	c := j.Begin("c")
	if j.Begin("d") != nil || j.Begin(strings.Repeat("x", slotSize)) != nil {
		t.Error("more is kept than there is room for")
	}
	c.End()
	c.End()
	if j.Begin("e") == nil || j.Begin("f") != nil {
		t.Error("a slot is used twice, or never again")
	}
	a.End() // what it says stays true
	if err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	if err := a.Sent(); err == nil {
		t.Error("a call may be made that nobody knows of")
	}
	want(t, "the first time", dead(t, dir, false), "a false", "b true", "e false")
	want(t, "again", dead(t, dir, true), "a false", "b true", "e false")
	want(t, "when it is done", dead(t, dir, true))
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// A process without claims leaves nothing, and a nil journal keeps nothing.
func TestJournal_leavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, 1)
	j.Begin("a")
	for range 2 {
		if err := j.Close(false); err != nil {
			t.Fatal(err)
		}
	}
	if n := files(t, dir); n != 0 || j.Begin("b") != nil {
		t.Errorf("%d files are left", n)
	}
	var none *Journal
	none.Begin("a").End()
	if err := errors.Join(none.Begin("a").Sent(), none.Close(true)); err != nil {
		t.Error(err)
	}
}

// A process is killed: what it has written is found at once, but not before its death.
func TestFindDead_aKilledProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperProcess$")
	cmd.Env = append(os.Environ(), "JOURNAL_TEST_DIR="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "written\n" {
		t.Fatalf("the process says %q, %v", line, err)
	}
	want(t, "of a process that is alive", dead(t, dir, true))
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	want(t, "of a process that is frozen", dead(t, dir, true))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	want(t, "of a process that is dead", dead(t, dir, true), "claimed false", "sent true")
}

func TestHelperProcess(t *testing.T) {
	dir := os.Getenv("JOURNAL_TEST_DIR")
	if dir == "" {
		return
	}
	j := open(t, dir, 8)
	j.Begin("claimed")
	if err := j.Begin("sent").Sent(); err != nil {
		t.Fatal(err)
	}
	fmt.Println("written")
	time.Sleep(time.Minute) //nolint:forbidigo // it is killed meanwhile
}

// An entry that was written in part is ignored, whatever was in its place before.
func TestDecode_aPartOfAnEntry(t *testing.T) {
	t.Parallel()
	slot := func(parts ...[]byte) []byte {
		whole := make([]byte, slotSize)
		for _, part := range parts {
			copy(whole, part)
		}
		return whole
	}
	before, after := encode(markSent, "the claim before"), encode(markClaimed, "the claim behind")
	for n := 1; n < len(after); n++ {
		if c, ok := decode(slot(before, after[:n])); ok && (c.Text != "the claim before" || !c.Sent) {
			t.Errorf("with %d bytes it is %+v", n, c)
		}
	}
	mark := encode(markSent, "the claim")
	for n := 1; n < sizeAt; n++ {
		if c, ok := decode(slot(encode(markClaimed, "the claim"), mark[:n])); ok && !c.Sent {
			t.Errorf("with %d bytes of the mark it is %+v", n, c)
		}
	}
	for name, bad := range map[string][]byte{"empty": nil, "zeros": make([]byte, 7), "a length beyond the slot": {markClaimed, 0, 0, 0, 0, 0xff, 0xff}, "a mark of its own": encode('x', "a")} {
		if c, ok := decode(slot(bad)); ok {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// A copy of a file counts for nothing, nor does one that was written before the machine was started.
func TestFindDead_aCopy(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, 1)
	j.Begin("a")
	whole, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "ledger-copy"+suffix), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	want(t, "a copy", dead(t, dir, true))
	if _, err := j.file.WriteAt([]byte("boot 00000000"), int64(strings.Index(string(whole), "boot "))); err != nil {
		t.Fatal(err)
	}
	if err := j.Close(true); err != nil {
		t.Fatal(err)
	}
	want(t, "of another boot", dead(t, dir, true))
	if n := files(t, dir); n != 0 {
		t.Errorf("%d files are left", n)
	}
}

// If a mark cannot be written, the file is removed. If it cannot be, no call may be made.
func TestSent_fails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j := open(t, dir, 2)
	a, b := j.Begin("a"), j.Begin("b")
	path := j.path
	_ = j.file.Close()
	j.path = dir // is not empty, and cannot be removed
	if err := a.Sent(); err == nil {
		t.Error("a call may be made, and the file says that there is none")
	}
	j.path = path
	for _, e := range []*Entry{a, b} {
		if err := e.Sent(); err != nil {
			t.Error(err)
		}
	}
	if n := files(t, dir); n != 0 || j.Begin("c") != nil {
		t.Errorf("%d files are left", n)
	}
}

// A directory in which others may write is not used.
func TestOpen_refuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	shared, file, link := filepath.Join(dir, "shared"), filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.Mkdir(shared, 0o700), os.Chmod(shared, 0o777), os.WriteFile(file, nil, 0o600), os.Symlink(t.TempDir(), link)); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{shared, file, link, "/proc/self"} {
		if j, err := Open(bad, "ledger", 1); err == nil {
			t.Errorf("%s is used", bad)
			_ = j.Close(false)
		}
		if _, err := FindDead(bad, "ledger"); err == nil {
			t.Errorf("%s is read", bad)
		}
	}
}

// Files of other ledgers are left alone until they are of no use to any process.
func TestFindDead_removesWhatIsOld(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, age := range map[string]time.Duration{"other-1.claims": 2 * old, "new-2": 2 * old, "other-3.claims": 0} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, time.Now(), time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	alive := open(t, dir, 1)
	if err := os.Chtimes(alive.path, time.Now(), time.Now().Add(-2*old)); err != nil {
		t.Fatal(err)
	}
	if _, err := FindDead(dir, "third"); err != nil {
		t.Fatal(err)
	}
	if n := files(t, dir); n != 2 {
		t.Errorf("%d files are left, want the young one and that of the process that is alive", n)
	}
}

// Without the id of a boot only a file in memory is known to be of this one.
func TestBootOf(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "id")
	if _, err := bootOf(path, localTypes[0]); err == nil {
		t.Error("a file on a disk is taken for one of this boot")
	}
	if _, err := bootOf(path, tmpfs); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, []byte("7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if id, err := bootOf(path, tmpfs); id != "7" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
}
