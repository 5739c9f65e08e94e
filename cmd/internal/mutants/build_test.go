package mutants

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// binaries builds the test binaries of a changed module, each once.
type binaries struct {
	root, dir, overlay string

	mu    sync.Mutex // one build at a time
	built map[string]string
}

// newBinaries makes an overlay of the module at root from sources, which are the texts of
// its changed files by name. It writes all its files into dir.
func newBinaries(root, dir string, sources map[string]string) (*binaries, error) {
	b := &binaries{root: root, dir: dir, overlay: filepath.Join(dir, "overlay.json"), built: make(map[string]string)}
	replace := make(map[string]string)
	for name, text := range sources {
		file := filepath.Join(dir, fmt.Sprintf("source%d.go", len(replace)))
		replace[filepath.Join(root, name)] = file
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return nil, err
	}
	return b, os.WriteFile(b.overlay, overlay, 0o600)
}

// of returns the test binary of a package.
func (b *binaries) of(ctx context.Context, pkg string) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if file := b.built[pkg]; file != "" {
		return file, nil
	}
	file := filepath.Join(b.dir, fmt.Sprintf("package%d.test", len(b.built)))
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-o", file, "-overlay", b.overlay, "-gcflags=-e", "-vet=off", "-ldflags=-s -w", pkg)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s does not compile: %w\n%s", pkg, err, out)
	}
	b.built[pkg] = file
	return file, nil
}
