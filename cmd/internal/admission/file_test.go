package admission

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/livefile"
	"backhaul/cmd/internal/policy"
	"backhaul/publisher/natstest/waittest"
)

const (
	closed = "sources:\n  billing: {allow: []}\n"
	open   = "sources:\n  billing:\n    allow:\n      - {clientName: [\"*\"], subclientName: [\"*\"]}\n"
	broken = "sources:\n  billing: {alow: []}\n"
)

// logBook counts lines of the log.
type logBook struct{ waittest.Log }

func (l *logBook) count(text string) int { return strings.Count(l.String(), text) }

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// follow opens a file in a bubble and follows it until the bubble's end.
func follow(t *testing.T, path string) (f *File, log *logBook, reload chan os.Signal) {
	t.Helper()
	log, reload = &logBook{}, make(chan os.Signal)
	f, err := Open(path, nil, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	go f.Follow(ctx, reload)
	synctest.Wait()
	return f, log, reload
}

// pass waits for a number of reads of the file.
func pass(reads int) {
	<-time.After(time.Duration(reads)*livefile.Interval + livefile.Interval/2)
	synctest.Wait()
}

func TestFile_AppliesAChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, change := range map[string]func(t *testing.T, file string){
		"written in place": func(t *testing.T, file string) { write(t, file, open) },
		"renamed": func(t *testing.T, file string) {
			write(t, file+".new", open)
			if err := os.Rename(file+".new", file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
				write(t, file, closed)
				f, log, _ := follow(t, file)
				before := f.Policy()
				pass(3)
				if f.Policy() != before {
					t.Error("the policy changed, and the file did not")
				}
				change(t, file)
				pass(2)
				if f.Policy() == before || f.Policy().Sum == before.Sum {
					t.Error("the change was not taken over")
				}
				pass(3)
				if log.count("policy reloaded") != 1 || log.count(f.Policy().Sum[:12]) != 1 || f.Trouble() != nil {
					t.Errorf("trouble %v, log:\n%s", f.Trouble(), log)
				}
			})
		})
	}
}

// A Kubernetes volume is a symbolic link to a directory; the link is replaced.
func TestFile_FollowsAReplacedVolume(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		for name, text := range map[string]string{"one": closed, "two": open} {
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, name, "policy.yaml"), text)
		}
		link := func(to, name string) {
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		link("one", "..data")
		link(filepath.Join("..data", "policy.yaml"), "policy.yaml")
		f, _, _ := follow(t, filepath.Join(dir, "policy.yaml"))
		before := f.Policy()
		link("two", "..data_tmp")
		if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
			t.Fatal(err)
		}
		pass(2)
		if f.Policy().Sum == before.Sum {
			t.Error("the change was not taken over")
		}
	})
}

// A half-written file is ignored, even if it is a valid policy.
func TestFile_IgnoresAHalfWrittenFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	synctest.Test(t, func(t *testing.T) {
		write(t, file, open)
		f, log, _ := follow(t, file)
		pass(0) // from here on there is one read between two writes
		for _, text := range []string{"sources:\n", closed, closed + "  crm: {allow: []}\n", closed + "  crm: {allow: []}\n  dev: {allow: []}\n"} {
			write(t, file, text)
			<-time.After(livefile.Interval)
			synctest.Wait()
		}
		if log.count("policy reloaded") != 0 || f.Trouble() != nil {
			t.Errorf("a half-written file was taken over, %v:\n%s", f.Trouble(), log)
		}
		pass(2)
		if sources, _ := f.Policy().Size(); sources != 3 {
			t.Errorf("%d sources after the last write", sources)
		}
	})
}

func TestFile_KeepsThePolicyIfTheFileIsBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, spoil := range map[string]func(t *testing.T, file string){
		"not valid": func(t *testing.T, file string) { write(t, file, broken) },
		"many faults": func(t *testing.T, file string) {
			write(t, file, broken+"  crm: {alow: []}\n  dev: {allow: []}\nmore: 1\n")
		},
		"empty": func(t *testing.T, file string) { write(t, file, "") },
		"removed": func(t *testing.T, file string) {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-"))
				write(t, file, open)
				f, log, _ := follow(t, file)
				before := f.Policy()
				spoil(t, file)
				pass(5)
				if f.Policy() != before {
					t.Error("the old policy is no longer in force")
				}
				if err := f.Trouble(); err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), before.Sum[:12]+" stays in force") {
					t.Errorf("the trouble is %v", err)
				}
				if text := f.Trouble().Error(); strings.Contains(text, "\n") || !strings.Contains(text, "backhaul policy check "+file) {
					t.Errorf("not one line with the way out: %s", text)
				}
				if log.count("policy file refused") != 1 {
					t.Errorf("logged %d times, want once:\n%s", log.count("policy file refused"), log)
				}
				write(t, file, open)
				pass(2)
				if f.Trouble() != nil || f.Policy() != before || log.count("policy unchanged") != 1 {
					t.Errorf("after the fix: %v\n%s", f.Trouble(), log)
				}
				spoil(t, file)
				pass(2)
				if log.count("policy file refused") != 2 {
					t.Error("the second refusal was not logged")
				}
			})
		})
	}
}

// Each signal is applied immediately and logged.
func TestFile_ReloadsOnASignal(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	synctest.Test(t, func(t *testing.T) {
		write(t, file, closed)
		f, log, reload := follow(t, file)
		send := func() {
			reload <- syscall.SIGHUP
			synctest.Wait()
		}
		send()
		if log.count("policy unchanged") != 1 {
			t.Errorf("the signal was not logged:\n%s", log)
		}
		write(t, file, open)
		send()
		if log.count("policy reloaded") != 1 {
			t.Errorf("the change was not taken over:\n%s", log)
		}
		write(t, file, broken)
		send()
		send()
		if f.Trouble() == nil || log.count("policy file refused") != 2 {
			t.Errorf("trouble %v, log:\n%s", f.Trouble(), log)
		}
	})
}

func TestOpen_RefusesABrokenFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	write(t, file, broken)
	if f, err := Open(file, nil, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), file+":2: ") {
		t.Errorf("got %v, %v", f, err)
	}
}

// A policy that does not fit the settings is refused as an invalid one is.
func TestFile_RefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	const ruled = open + "groups: [{clientName: [a], subclientName: [b], onRunning: queue}]\n"
	path := filepath.Join(t.TempDir(), "p.yaml")
	write(t, path, ruled)
	if f, err := Open(path, (*policy.Policy).NeedsFollowing, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), path+":") {
		t.Fatalf("opened: %v, %v", f, err)
	}
	write(t, path, open)
	f, err := Open(path, (*policy.Policy).NeedsFollowing, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	before := f.Policy()
	write(t, path, ruled)
	reload := make(chan os.Signal)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go f.Follow(ctx, reload)
	reload <- syscall.SIGHUP
	reload <- syscall.SIGHUP // the first one is handled
	if err := f.Trouble(); f.Policy() != before || err == nil || !strings.Contains(err.Error(), "BACKHAUL_FOLLOW") {
		t.Errorf("the policy in force is another one (%t), the trouble is %v", f.Policy() != before, err)
	}
}
