package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

// archiveEnv makes a key, and returns the settings of an archive in a new directory.
func archiveEnv(t *testing.T) (env []string, dir string) {
	t.Helper()
	at := t.TempDir()
	key := filepath.Join(at, "archive.key")
	if code, out, stderr := programtest.Once(t, nil, "", "archive", "keygen", "backhaul.example.com/events", "-o", key); code != exitDone || !strings.Contains(out, key+".pub") {
		t.Fatal(out, stderr)
	}
	dir = filepath.Join(at, "archive")
	return []string{
		"BACKHAUL_ARCHIVE=" + dir, "BACKHAUL_ARCHIVE_KEY_FILE=" + key, "BACKHAUL_ARCHIVE_PUBLIC_KEY=" + key + ".pub",
		"BACKHAUL_ARCHIVE_EVERY=200ms", "BACKHAUL_ADMIN_ADDR=127.0.0.1:0",
	}, dir
}

// archived waits until the archive has everything that the stream had, and returns its report.
func archived(t *testing.T, c *programtest.Client, env []string) string {
	t.Helper()
	events, err := c.JS.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("event %d is the next one", events.CachedInfo().State.LastSeq+1)
	var report string
	waittest.Eventually(t, "archive with all events", func() bool {
		_, report, _ = programtest.Once(t, env, "", "verify")
		return strings.Contains(report, want)
	})
	return report
}

// Requests come and go while the archiver is killed again and again: the archive has each event
// once, a proof holds without it, and what is changed in it is found.
func TestArchive(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	more, dir := archiveEnv(t)
	env := append([]string{"BACKHAUL_NATS_URL=" + s.NC.ConnectedUrl()}, more...)
	p := programtest.Start(t, env, "backhaul", "archive")
	const rounds, each = 5, 40
	for round := range rounds {
		for i := range each {
			s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("r-%d-%d", round, i)))
		}
		s.WaitForOutcomes()
		p.Kill()
		p = programtest.Start(t, env, "backhaul", "archive")
	}
	report := archived(t, s.Client, env)
	for _, text := range []string{"verified in", "backhaul.example.com/events"} {
		if !strings.Contains(report, text) {
			t.Errorf("the report is without %q:\n%s", text, report)
		}
	}
	if strings.Contains(report, "gap") || strings.Contains(report, "unknown") {
		t.Errorf("the report is\n%s", report)
	}

	if _, status, stderr := programtest.Once(t, env, "", "status", "--admin-addr", "off"); !regexp.MustCompile(`(?m)^archived +until 20`).MatchString(status) || strings.Contains(status, "no replica archives") {
		t.Errorf("the status is\n%s%s", status, stderr)
	}

	// A second archiver for the same directory stands by, whatever server it reads.
	second := programtest.Start(t, env, "backhaul", "archive")
	second.WaitFor(t, "keeping events")
	programtest.WaitForStatus(t, programtest.AdminURL(t, second)+"/readyz", 200)

	// The archive has what the stream has, by the same filters.
	for _, filters := range [][]string{{"--kind", "job-started"}, {"--request-id", "r-3-1"}, {"--source", "billing", "--kind", "job-submitting", "--limit", "7"}, {"--label", "ticket=CHG-17", "--kind", "job-started"}, {"--since", "1h", "--kind", "job-failed"}} {
		_, want, _ := programtest.Once(t, env[:1], "", append([]string{"events", "--output", "json"}, filters...)...)
		code, got, stderr := programtest.Once(t, env[3:], "", append([]string{"events", "--output", "json", "--archive", dir}, filters...)...)
		if code != exitDone || got != want {
			t.Errorf("%v: the archive has %d bytes of events, the stream %d: %s", filters, len(got), len(want), stderr)
		}
	}

	// Of a proof nothing but it and the public key is needed.
	proof := filepath.Join(t.TempDir(), "proof.json")
	if code, out, stderr := programtest.Once(t, env, "", "prove", "r-2-7", "-o", proof); code != exitDone || !strings.Contains(out, "of billing/r-2-7") {
		t.Fatal(code, out, stderr)
	}
	key := env[len(env)-3]
	code, out, stderr := programtest.Once(t, []string{key}, "", "verify", proof)
	if code != exitDone || !strings.Contains(out, "job-started") || !strings.Contains(out, "proven: these") {
		t.Error(code, out, stderr)
	}
	p.Stop(t)
	second.Stop(t)

	bundle := filepath.Join(dir, "tile", "entries", "000")
	data, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), "r-0-3", "r-0-4", 1)
	if err := os.Chmod(bundle, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := programtest.Once(t, env, "", "verify"); code != exitFailed || !strings.Contains(out, "PROBLEM") || !strings.Contains(out, "was changed") {
		t.Errorf("a change is not found: %d\n%s", code, out)
	}
}

func TestArchive_settings(t *testing.T) {
	t.Parallel()
	env, _ := archiveEnv(t)
	for name, test := range map[string]struct {
		env, args []string
		want      string
	}{
		"no server":     {env, []string{"archive"}, "set --nats or BACKHAUL_NATS_URL"},
		"no archive":    {env[1:], []string{"archive", "--nats", "127.0.0.1:1"}, "set BACKHAUL_ARCHIVE or --archive"},
		"no key":        {env[:1], []string{"archive", "--nats", "127.0.0.1:1"}, "backhaul archive keygen"},
		"no public key": {env[:2], []string{"verify"}, "--archive-public-key"},
		"the wrong key": {append([]string{"BACKHAUL_ARCHIVE_PUBLIC_KEY=" + strings.TrimPrefix(env[1], "BACKHAUL_ARCHIVE_KEY_FILE=")}, env[0]), []string{"verify"}, "private key of a log"},
		"follow":        {env, []string{"events", "--archive", "x", "--follow"}, "--archive does not go with"},
		"a short age":   {env, []string{"setup", "--events-max-age", "47h"}, "must be at least 48h0m0s"},
		"give up":       {append(env, "BACKHAUL_GIVE_UP_AFTER=100h"), []string{"setup", "--events-max-age", "72h"}, "BACKHAUL_GIVE_UP_AFTER"},
		"follow for":    {env, []string{"setup", "--events-max-age", "72h"}, "BACKHAUL_FOLLOW_FOR"},
		"no name":       {nil, []string{"archive", "keygen", "a name"}, "has no spaces"},
	} {
		code, out, stderr := programtest.Once(t, test.env, "", test.args...)
		if code != exitUsage || !strings.Contains(stderr, test.want) {
			t.Errorf("%s: exit code %d, %s%s; want %q", name, code, out, stderr, test.want)
		}
	}
	if code, _, stderr := programtest.Once(t, env, "", "verify"); code != exitFailed || !strings.Contains(stderr, "there is no checkpoint") {
		t.Errorf("an empty archive: %d, %s", code, stderr)
	}
	if code, _, stderr := programtest.Once(t, nil, "", "archive", "keygen", "x", "-o", strings.TrimPrefix(env[1], "BACKHAUL_ARCHIVE_KEY_FILE=")); code != exitFailed || !strings.Contains(stderr, "is there already") {
		t.Errorf("a key is overwritten: %d, %s", code, stderr)
	}
}

// The archiver has an address of its own, so that it runs beside the service and the trigger.
// Whether it is free here or not, the program names it.
func TestArchive_listensOnItsOwnAddress(t *testing.T) {
	t.Parallel()
	env, _ := archiveEnv(t)
	env = append(env[:3:3], "BACKHAUL_NATS_URL="+programtest.NATSServer(t))
	if code, _, stderr := programtest.Once(t, append(env, "BACKHAUL_ADMIN_ADDR=off"), "", "archive"); code != exitFailed || !strings.Contains(stderr, "`backhaul setup --archive` makes it") {
		t.Errorf("without a stream: exit code %d, %s", code, stderr)
	}
	if code, _, stderr := programtest.Once(t, env, "", "setup", "--archive"); code != exitDone {
		t.Fatal(stderr)
	}
	programtest.Start(t, env, "backhaul", "archive").WaitFor(t, config.ArchiveAdminAddr)
}

// An archive in a bucket.
func TestArchive_inABucket(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	store := objectstoretest.Start(t, "evidence")
	more, _ := archiveEnv(t)
	const secretKey = "Geheim/4c1f"
	env := append([]string{
		"BACKHAUL_NATS_URL=" + s.NC.ConnectedUrl(), "BACKHAUL_ARCHIVE=s3://evidence/backhaul", "BACKHAUL_ARCHIVE_S3_ENDPOINT=" + store.URL, "BACKHAUL_ARCHIVE_S3_PATH_STYLE=true",
		"BACKHAUL_ARCHIVE_S3_ACCESS_KEY=AKIDEXAMPLE", "BACKHAUL_ARCHIVE_S3_SECRET_KEY=" + secretKey, "BACKHAUL_ARCHIVE_RETENTION=61320h",
	}, more[1:]...)
	for i := range 30 {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(fmt.Sprintf("r-%d", i)))
	}
	s.WaitForOutcomes()
	p := programtest.Start(t, env, "backhaul", "archive")
	report := archived(t, s.Client, env)
	if !strings.Contains(report, "verified in") {
		t.Error(report)
	}
	store.Fail(func(*http.Request) int { return http.StatusServiceUnavailable })
	s.Publish("backup.request.billing", nil, programtest.SampleRequest("while-away"))
	programtest.WaitForStatus(t, programtest.AdminURL(t, p)+"/readyz", http.StatusServiceUnavailable)
	store.Fail(nil)
	s.WaitForOutcomes()
	archived(t, s.Client, env)
	programtest.WaitForStatus(t, programtest.AdminURL(t, p)+"/readyz", http.StatusOK)
	if code, out, stderr := programtest.Once(t, env, "", "verify", "s3://evidence/backhaul/"); code != exitDone || !strings.Contains(out, "verified in") {
		t.Error(code, out, stderr)
	}
	if code, _, stderr := programtest.Once(t, env[:2], "", "verify", "--archive-public-key", strings.TrimPrefix(more[2], "BACKHAUL_ARCHIVE_PUBLIC_KEY=")); code != exitUsage || !strings.Contains(stderr, "BACKHAUL_ARCHIVE_S3_ENDPOINT") {
		t.Errorf("without an endpoint: %d, %s", code, stderr)
	}
}
