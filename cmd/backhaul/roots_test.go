package main

import (
	"bytes"
	"crypto/x509"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"

	"backhaul/cmd/internal/programtest"
)

func TestUseRoots_beforeEveryCommand(t *testing.T) {
	root := newRootCommand()
	root.SetOut(new(bytes.Buffer))
	root.SetArgs([]string{"version"})
	if err := root.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a command ran before the roots were set")
		}
	}()
	x509.SetFallbackRoots(x509.NewCertPool()) // panics at the second call
}

func TestMozillaRoots_areTrusted(t *testing.T) {
	t.Parallel()
	pool, n := mozillaRoots(), 0
	for root := range bundle.Roots() {
		cert, err := x509.ParseCertificate(root.Certificate)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: cert.NotBefore.Add(time.Hour), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil && root.Constraint == nil {
			t.Errorf("%s: %v", cert.Subject, err)
		}
		n++
	}
	if n < 100 {
		t.Errorf("there are %d roots", n)
	}
}

// What packages allocate before main begins is paid by every command, at each start. Expressions and
// templates are compiled when they are used first.
func TestPackagesAllocateLittle(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), programtest.Binary(t, "backhaul"), "version")
	cmd.Env = []string{"GODEBUG=inittrace=1"}
	var trace bytes.Buffer
	cmd.Stderr = &trace
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	all, own := 0, 0
	for line := range strings.Lines(trace.String()) {
		// init backhaul/schemas @12 ms, 0.13 ms clock, 65168 bytes, 704 allocs
		before, _, _ := strings.Cut(line, " bytes,")
		words := strings.Fields(before)
		n, err := strconv.Atoi(words[len(words)-1])
		if err != nil || words[0] != "init" {
			t.Fatalf("not a line of inittrace: %s", line)
		}
		all += n
		if strings.HasPrefix(words[1], "backhaul/") || words[1] == "main" {
			if own += n; n > 32<<10 {
				t.Errorf("%s allocates %d bytes before main begins", words[1], n)
			}
		}
	}
	t.Logf("%d bytes, %d of them by own packages", all, own)
	if own > 100<<10 || all > 1800<<10 {
		t.Errorf("packages allocate %d bytes before main begins, own ones %d", all, own)
	}
}
