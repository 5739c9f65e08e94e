package livefile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"backhaul/publisher/natstest/waittest"
)

// Content that cannot be applied is refused like a file that is not valid, and the next content
// is tried again. Package admission tests files.
func TestFile_RefusesWhatCannotBeApplied(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "words")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		write("one")
		var log waittest.Log
		kind := Kind[string]{
			Name: "words", Stay: "stay in force", Check: "words check", Read: os.ReadFile,
			Parse:    func(_ string, data []byte) (string, error) { return string(data), nil },
			Describe: func(line *zerolog.Event, content string) *zerolog.Event { return line.Str("content", content) },
		}
		f, err := Open(kind, path, zerolog.New(&log))
		if err != nil {
			t.Fatal(err)
		}
		reload := make(chan os.Signal)
		applied := 0
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go f.Follow(ctx, reload, func(content string) error {
			applied++
			if content == "bad" {
				return errors.New("no room")
			}
			return nil
		})
		send := func(text string) {
			write(text)
			reload <- syscall.SIGHUP
			synctest.Wait()
		}
		send("bad")
		if err := f.Trouble(); f.Content() != "one" || err == nil || !strings.Contains(err.Error(), "no room; the words with SHA-256 ") ||
			!strings.Contains(err.Error(), " stay in force; fix the file: `words check "+path+"`") || !strings.Contains(log.String(), "words file refused, the old words stay in force") {
			t.Errorf("%q is in force, %v\n%s", f.Content(), err, log.String())
		}
		send("two")
		if f.Content() != "two" || f.Trouble() != nil || applied != 2 || !strings.Contains(log.String(), "words reloaded") {
			t.Errorf("%q is in force, applied %d times, %v\n%s", f.Content(), applied, f.Trouble(), log.String())
		}
	})
}
