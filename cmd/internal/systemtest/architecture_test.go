package systemtest

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"backhaul/cmd/internal/programtest"
)

// arrows lists what each part of the module may import of the module. Longer
// paths come first.
var arrows = []struct {
	part    string
	imports []string
}{
	{"backhaul/schemas/bounded", nil},
	{"backhaul/schemas/schemastest", []string{"backhaul/schemas"}},
	{"backhaul/schemas", nil},
	{"backhaul/deploy", nil},
	{"backhaul/publisher/natstest/clustertest", []string{"backhaul/publisher/natstest"}},
	{"backhaul/publisher/natstest/waittest", nil},
	{"backhaul/publisher/natstest", []string{"backhaul/deploy"}},
	{"backhaul/publisher", []string{"backhaul/schemas"}},
	// The simulator shares nothing with the client that is tested against it.
	{"backhaul/vendorapi/simulator/simulatortest", []string{"backhaul/vendorapi/simulator"}},
	{"backhaul/vendorapi/simulator", []string{"backhaul/vendorapi/recording"}},
	{"backhaul/vendorapi/recording", nil},
	{"backhaul/vendorapi/internal/gate", nil},
	{"backhaul/vendorapi/internal/http1", nil},
	{"backhaul/vendorapi", []string{"backhaul/schemas", "backhaul/schemas/bounded", "backhaul/vendorapi/internal/gate", "backhaul/vendorapi/internal/http1"}},
	// The trigger asks as any other publisher; it does not know the vendor.
	{"backhaul/consumer/logonce", nil},
	{"backhaul/consumer/internal/sleep", nil},
	{"backhaul/consumer/internal/journal", nil},
	{"backhaul/consumer/internal/pull", nil},
	{"backhaul/consumer/internal/reader", []string{"backhaul/consumer/internal/pull", "backhaul/consumer/internal/sleep"}},
	{"backhaul/consumer/internal/writes", []string{"backhaul/consumer/logonce", "backhaul/publisher"}},
	{"backhaul/consumer/order", []string{"backhaul/publisher"}},
	{"backhaul/consumer/turn", []string{"backhaul/schemas", "backhaul/publisher", "backhaul/vendorapi"}},
	{"backhaul/consumer/scope", []string{"backhaul/consumer/logonce", "backhaul/schemas", "backhaul/publisher", "backhaul/vendorapi"}},
	{"backhaul/consumer/trigger/objectstore", []string{"backhaul/schemas/bounded"}},
	{"backhaul/consumer/trigger", []string{"backhaul/consumer/logonce", "backhaul/consumer/turn", "backhaul/consumer/trigger/blackout", "backhaul/consumer/internal/pull", "backhaul/consumer/internal/reader", "backhaul/consumer/internal/sleep", "backhaul/consumer/internal/writes", "backhaul/schemas", "backhaul/publisher"}},
	// The follower reads the vendor; it shares nothing with what starts jobs.
	{"backhaul/consumer/follower", []string{"backhaul/consumer/logonce", "backhaul/consumer/internal/pull", "backhaul/consumer/internal/reader", "backhaul/consumer/internal/sleep", "backhaul/consumer/internal/writes", "backhaul/schemas", "backhaul/publisher", "backhaul/vendorapi"}},
	{"backhaul/consumer/budget", []string{"backhaul/consumer/logonce", "backhaul/consumer/order", "backhaul/consumer/internal/sleep", "backhaul/publisher", "backhaul/vendorapi"}},
	{"backhaul/consumer/archiver", []string{"backhaul/consumer/logonce", "backhaul/consumer/internal/pull", "backhaul/consumer/internal/reader", "backhaul/consumer/internal/sleep", "backhaul/schemas", "backhaul/publisher"}},
	{"backhaul/consumer", []string{"backhaul/consumer/order", "backhaul/consumer/scope", "backhaul/consumer/turn", "backhaul/consumer/logonce", "backhaul/consumer/internal/journal", "backhaul/consumer/internal/pull", "backhaul/consumer/internal/sleep", "backhaul/consumer/internal/writes", "backhaul/schemas", "backhaul/publisher", "backhaul/vendorapi"}},
	// It runs the program from outside, and what the program talks to.
	{"backhaul/cmd/internal/programtest", []string{"backhaul/publisher/natstest/waittest", "backhaul/schemas", "backhaul/publisher", "backhaul/vendorapi/secretstest", "backhaul/vendorapi/simulator", "backhaul/vendorapi/simulator/simulatortest", "backhaul/consumer/trigger/objectstore/objectstoretest"}},
	// Settings and the vendor stay out of the connection to NATS.
	{"backhaul/cmd/internal/natsconn", []string{"backhaul/publisher", "backhaul/cmd/internal/serverurl", "backhaul/cmd/internal/storedir"}},
	{"backhaul/cmd/internal/secret", []string{"backhaul/schemas/bounded"}},
	{"backhaul/cmd", []string{"backhaul/schemas", "backhaul/schemas/bounded", "backhaul/publisher", "backhaul/vendorapi", "backhaul/vendorapi/recording", "backhaul/vendorapi/simulator", "backhaul/consumer", "backhaul/consumer/logonce", "backhaul/consumer/archiver", "backhaul/consumer/budget", "backhaul/consumer/follower", "backhaul/consumer/order", "backhaul/consumer/scope", "backhaul/consumer/trigger", "backhaul/consumer/trigger/blackout", "backhaul/consumer/trigger/objectstore", "backhaul/consumer/turn", "backhaul/deploy", "backhaul/cmd"}},
}

// listed is the output of `go list` for a package.
type listed struct {
	ImportPath string
	Doc        string
	Imports    []string
}

// wrongImports names the imports that go against the arrows.
func wrongImports(packages []listed) []string {
	var wrong []string
	for _, p := range packages {
		rule := slices.IndexFunc(arrows, func(a struct {
			part    string
			imports []string
		}) bool {
			return p.ImportPath == a.part || strings.HasPrefix(p.ImportPath, a.part+"/")
		})
		if rule < 0 {
			wrong = append(wrong, p.ImportPath+" has no place in the architecture")
			continue
		}
		for _, imported := range p.Imports {
			allowed := slices.ContainsFunc(arrows[rule].imports, func(part string) bool {
				return imported == part || part == "backhaul/cmd" && strings.HasPrefix(imported, part+"/")
			})
			if strings.HasPrefix(imported, "backhaul/") && !allowed {
				wrong = append(wrong, p.ImportPath+" must not import "+imported)
			}
		}
	}
	return wrong
}

func listPackages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Doc,Imports", "./...")
	cmd.Dir = programtest.InRepository(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var packages []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	return packages
}

func TestImportsPointOneWay(t *testing.T) {
	packages := listPackages(t)
	if len(packages) < 8 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	for _, wrong := range append(wrongImports(packages), wrongImporters(packages)...) {
		t.Error(wrong)
	}
}

// importers are the only parts that may import a package. The settings are known to the
// program and to its wiring; other packages have options of their own.
var importers = map[string][]string{
	"backhaul/cmd/internal/config": {"backhaul/cmd/backhaul", "backhaul/cmd/internal/service"},
}

// wrongImporters names the imports that only other parts may have.
func wrongImporters(packages []listed) []string {
	var wrong []string
	for _, p := range packages {
		for _, imported := range p.Imports {
			if allowed, limited := importers[imported]; limited && !slices.Contains(allowed, p.ImportPath) {
				wrong = append(wrong, p.ImportPath+" must not import "+imported)
			}
		}
	}
	return wrong
}

// libraries lists which parts of the module may import a library.
var libraries = []struct {
	library string
	parts   []string
}{
	// The other packages call an observer and do not know what it does.
	{"github.com/prometheus/", []string{"backhaul/cmd/internal/telemetry"}},
	{"go.opentelemetry.io/", []string{"backhaul/cmd/internal/telemetry"}},
	// The contract and the vendor's client do not know NATS.
	{"github.com/nats-io/", []string{"backhaul/publisher", "backhaul/consumer", "backhaul/cmd"}},
	// The program reads files of operators; the packages get the parsed result.
	{"go.yaml.in/yaml/", []string{"backhaul/cmd"}},
	// The tree and its signatures are behind one package.
	{"golang.org/x/mod/sumdb/", []string{"backhaul/cmd/internal/archive"}},
	// One wrapper translates verdicts into repetition: vendorapi/retry.go.
	{"github.com/cenkalti/backoff/", []string{"backhaul/vendorapi"}},
}

func TestLibrariesStayInTheirPackages(t *testing.T) {
	seen := make(map[string]bool)
	for _, p := range listPackages(t) {
		for _, imported := range p.Imports {
			for _, l := range libraries {
				if !strings.HasPrefix(imported, l.library) {
					continue
				}
				seen[l.library] = true
				if !slices.ContainsFunc(l.parts, func(part string) bool { return p.ImportPath == part || strings.HasPrefix(p.ImportPath, part+"/") }) {
					t.Errorf("%s must not import %s", p.ImportPath, imported)
				}
			}
		}
	}
	if len(seen) != len(libraries) {
		t.Errorf("of the libraries, only %v are imported", seen)
	}
	for _, file := range trackedFiles(t) {
		if filepath.Ext(file) != ".go" || file == "vendorapi/retry.go" {
			continue
		}
		text, err := os.ReadFile(programtest.InRepository(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "\t\"github.com/cenkalti/backoff/") {
			t.Errorf("%s imports backoff; only vendorapi/retry.go may", file)
		}
	}
}

func TestReversedImportsAreFound(t *testing.T) {
	for _, arrow := range [][2]string{
		{"schemas", "publisher"}, {"schemas", "vendorapi"}, {"publisher", "consumer"}, {"vendorapi", "consumer"},
		{"consumer", "cmd/internal/config"}, {"publisher", "vendorapi"}, {"vendorapi", "publisher"},
		{"vendorapi/simulator", "vendorapi"}, {"deploy", "schemas"}, {"consumer", "vendorapi/simulator"},
		{"consumer/trigger", "vendorapi"}, {"consumer/trigger", "consumer"}, {"consumer/follower", "consumer"}, {"consumer/trigger", "cmd/internal/strictyaml"},
	} {
		p := listed{ImportPath: "backhaul/" + arrow[0], Imports: []string{"backhaul/" + arrow[1]}}
		want := fmt.Sprintf("backhaul/%s must not import backhaul/%s", arrow[0], arrow[1])
		if got := wrongImports([]listed{p}); !slices.Equal(got, []string{want}) {
			t.Errorf("%v: got %q, want %q", arrow, got, want)
		}
	}
	hub := listed{ImportPath: "backhaul/cmd/internal/natsconn", Imports: []string{"backhaul/cmd/internal/config"}}
	if got := wrongImporters([]listed{hub}); len(got) != 1 {
		t.Errorf("natsconn imports config: got %q", got)
	}
}

// Containers are for tests. The library that runs them brings a hundred packages.
func TestProgramLinksNoContainers(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/backhaul")
	cmd.Dir = programtest.InRepository(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, "backhaul/consumer") {
		t.Fatalf("go list found %d packages, not the consumer", len(packages))
	}
	for _, p := range packages {
		if strings.Contains(p, "testcontainers") || strings.Contains(p, "/moby/") {
			t.Errorf("bin/backhaul links %s", p)
		}
	}
}

func TestEveryPackageHasADoc(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.Doc == "" {
			t.Errorf("%s has no package doc", p.ImportPath)
		}
	}
}

// The top level is a promise to people who find their way by it.
func TestTopLevelIsFixed(t *testing.T) {
	want := []string{
		"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md",
		"cmd", "consumer", "deploy", "go.mod", "go.sum", "publisher", "schemas", "vendorapi",
	}
	for _, file := range trackedFiles(t) {
		top, _, _ := strings.Cut(file, "/")
		if !strings.HasPrefix(top, ".") && !slices.Contains(want, top) {
			t.Errorf("%s: %s is not one of the top-level entries", file, top)
		}
	}
	for _, entry := range want {
		if _, err := os.Stat(programtest.InRepository(t, entry)); err != nil {
			t.Error(err)
		}
	}
}

// trackedFiles are the project's, with slashes, from its top.
func trackedFiles(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files")
	cmd.Dir = programtest.InRepository(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v", err)
	}
	return strings.Fields(string(out))
}
