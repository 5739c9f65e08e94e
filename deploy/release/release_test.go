// Package release checks .goreleaser.yaml with GoReleaser's loader and against the files
// of this repository. `make release-check` has GoReleaser make all of it.
package release

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
	"github.com/goreleaser/nfpm/v2/files"
)

const file = ".goreleaser.yaml"

// load reads the file as GoReleaser does, in the directory that its paths begin in.
// What bin/ has is made during a release: it is left out.
func load(t *testing.T) config.Project {
	t.Helper()
	t.Chdir(filepath.Join("..", ".."))
	project, err := config.Load(file)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	if len(project.Builds) == 0 || len(project.Archives) == 0 || len(project.NFPMs) == 0 {
		t.Fatalf("%s makes %d programs, %d archives, %d packages", file, len(project.Builds), len(project.Archives), len(project.NFPMs))
	}
	return project
}

func made(path string) bool { return strings.HasPrefix(path, "bin/") }

func TestBuildsAndArchives(t *testing.T) {
	project := load(t)
	for _, build := range project.Builds {
		if sources, err := filepath.Glob(filepath.Join(build.Main, "*.go")); len(sources) == 0 {
			t.Errorf("nothing to build in %q: %v", build.Main, err)
		}
	}
	for _, archive := range project.Archives {
		for _, f := range archive.Files {
			if found, err := filepath.Glob(f.Source); len(found) == 0 && !made(f.Source) {
				t.Errorf("an archive wants %q, which is not there: %v", f.Source, err)
			}
		}
	}
}

// Its packager finds each file of a package, and no two for one place.
func TestPackages(t *testing.T) {
	for _, p := range load(t).NFPMs {
		for _, script := range []string{p.Scripts.PreInstall, p.Scripts.PostInstall, p.Scripts.PreRemove, p.Scripts.PostRemove} {
			if info, err := os.Stat(script); script != "" && (err != nil || info.Mode()&0o111 == 0) {
				t.Errorf("package %s has no script %s that can be run: %v", p.ID, script, err)
			}
		}
		for _, format := range p.Formats {
			var contents files.Contents
			for _, c := range p.Contents {
				if made(c.Source) {
					continue
				}
				contents = append(contents, &files.Content{Source: c.Source, Destination: c.Destination, Type: c.Type, Packager: c.Packager})
			}
			if _, err := files.PrepareForPackager(contents, 0o022, format, false, time.Unix(1, 0)); err != nil {
				t.Errorf("%s package %s: %v", format, p.ID, err)
			}
		}
	}
}
