package chaos

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
)

var upgradeFrom = flag.String("upgrade.from", "", "git `revision` to upgrade from; this build if empty")

// TestUpgrade replaces replicas of one version by those of another while requests
// flow, by asking them to stop and by killing them, and takes one step back, as when
// an upgrade is thought better of. The versions share streams, claims and the vendor
// all the time. Every request is judged as in TestChaos.
//
// From the beginning there are events about jobs, of which older versions know nothing:
// each request is published again once the end of its job is stored. Both versions read
// the whole stream at the end.
//
// Without a revision both versions are this build, which leaves a rolling restart.
// `make upgrade FROM=revision` runs it with an older one.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	current, old := programtest.Binary(t, "backhaul"), programtest.Binary(t, "backhaul")
	requests := 240
	if *upgradeFrom != "" {
		old = buildRevision(t, *upgradeFrom)
		requests = 1200
	}
	plan := newChaosPlan(chaosSettings{
		Requests: requests, Rate: 40, Replicas: 2, Seed: *chaosFlags.seed, VisibleAfter: time.Second,
		// Half of the requests are in flight for a while, some lose their answer.
		Faults: "slow=0.5:500ms,cut-after-start=0.03,503=0.02:1s",
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	r := &chaosRun{t: t, plan: plan, dir: chaosDir(t, plan.Seed), done: make(map[chaosFaultKind]int), program: old}
	r.vendor = startChaosVendor(t, r.dir, plan)
	url := r.startBroker()
	r.connect(url)
	// The streams are the old version's. The new one's setup adds what is missing, before the upgrade.
	setup := exec.CommandContext(ctx, old, "setup")
	setup.Env = append(programtest.CleanEnv(), "BACKHAUL_NATS_URL="+url)
	if out, err := setup.CombinedOutput(); err != nil {
		t.Fatalf("setup of the old version: %v\n%s", err, out)
	}
	r.startReplicas(url)
	r.upstream = &upstream{js: r.js, published: make(map[string]publishing)}
	r.began = time.Now()
	var flow sync.WaitGroup
	flow.Go(func() {
		if err := r.upstream.run(ctx, plan, r.began); err != nil {
			t.Error(err)
		}
	})

	ends := startEnds(ctx, r)
	old0, old1 := r.replicas[0], r.replicas[1]
	next := func(share float64) {
		t.Helper()
		want := int(share * float64(requests))
		waittest.Eventually(t, "flow of requests", func() bool { return r.upstream.accepted() >= want })
	}
	joins := func(name, program string) *immortal {
		t.Helper()
		p := r.startReplica(name, program, url)
		waittest.Eventually(t, name+" that reads requests", func() bool {
			log, err := os.ReadFile(filepath.Join(r.dir, name+".log"))
			return err == nil && bytes.Contains(log, []byte("reading requests"))
		})
		return p
	}
	next(0.15)
	new0 := joins("new-0", current)
	next(0.3)
	old0.end(syscall.SIGTERM)
	if err := old0.waitEnd(time.Minute); err != nil {
		t.Error(err)
	}
	new1 := joins("new-1", current)
	next(0.5)
	old1.end(syscall.SIGKILL) // its claims are taken over by the new version
	<-old1.gone
	next(0.65)
	back := joins("old-2", old)
	next(0.8)
	new0.end(syscall.SIGKILL) // and these perhaps by the old one
	<-new0.gone
	flow.Wait()
	r.replicas = []*immortal{new1, back}
	r.drain(ctx, 2*time.Minute)
	ends.stop()
	r.drain(ctx, time.Minute) // a duplicate that waits is stuck
	r.stopReplicas()
	r.replicas = append(r.replicas, old0, old1, new0)
	evidence := r.collect(ctx)
	r.report(t, evidence, newChaosResult(evidence, judgeChaos(evidence)))
	ends.check(evidence, ends.read(current, url), ends.read(old, url), *upgradeFrom == "")
}

// buildRevision builds the program as it was, from a copy of what was committed.
func buildRevision(t *testing.T, revision string) (program string) {
	t.Helper()
	source := t.TempDir()
	program = filepath.Join(source, "bin", "backhaul")
	for _, step := range [][]string{
		{"sh", "-c", `git -C "$3" archive "$1" | tar -x -C "$2"`, "sh", revision, source, programtest.InRepository(t)},
		{"go", "build", "-C", source, "-trimpath", "-buildvcs=false", "-o", program, "./cmd/backhaul"},
	} {
		cmd := exec.CommandContext(t.Context(), step[0], step[1:]...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build %s: %v\n%s", revision, err, out)
		}
	}
	return program
}
