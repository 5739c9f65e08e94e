// Package storedir describes the directory in which the embedded NATS server keeps its
// streams: whether its requests were moved to another server, and how to fix a directory
// that cannot be used.
package storedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"backhaul/schemas/bounded"
)

// movedFile returns the name of the file that marks a directory as moved.
func movedFile(dir string) string { return filepath.Join(dir, "backhaul.moved") }

// MarkMoved marks a directory whose requests were moved to another server. From then on
// [Refusal] refuses it.
func MarkMoved(dir, where string, now time.Time) error {
	text := fmt.Sprintf("moved to %s on %s\n", where, now.UTC().Format(time.RFC3339))
	if err := os.WriteFile(movedFile(dir), []byte(text), 0o600); err != nil {
		return fmt.Errorf("mark the store as moved: %w", err)
	}
	return nil
}

// Refusal returns why no process may work on the directory: its requests were moved, or the
// file that would say so cannot be read. It is "" if a process may.
func Refusal(dir string) string {
	where, err := bounded.ReadFile(movedFile(dir), bounded.Small)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ""
	case err != nil:
		return Problem("BACKHAUL_STORE_DIR", dir, err)
	}
	return fmt.Sprintf("the requests in %s were %s: to work on them here as well could start jobs twice. Set BACKHAUL_NATS_URL to that server, or BACKHAUL_STORE_DIR to a new directory (%s says so)",
		dir, strings.TrimSpace(string(where)), movedFile(dir))
}

// Problem returns what is wrong with a directory, and the way out. setting names the
// setting or flag that has the directory.
func Problem(setting, dir string, err error) string {
	user := os.Geteuid()
	way := fmt.Sprintf("set %s to a directory that user %d can read and write", setting, user)
	// The NATS server's errors have no type.
	if text := err.Error(); strings.Contains(text, fs.ErrPermission.Error()) || strings.Contains(text, "not writable") {
		way = fmt.Sprintf("this process runs as user %d: make that user the owner (chown -R %d %s), or %s", user, user, dir, way)
	}
	return fmt.Sprintf("store directory %s: %v; %s", dir, err, way)
}
