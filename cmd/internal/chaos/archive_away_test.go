package chaos

import (
	"flag"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/programtest"
	"backhaul/consumer/trigger/objectstore/objectstoretest"
	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/vendorapi/simulator"
)

var archiveAway = flag.Duration("archive.away", 4*time.Second, "how long the bucket of TestArchiveBucketAway answers nothing useful")

// TestArchiveBucketAway takes the bucket away while requests go on: it answers with one status after the
// other. Afterwards the archive has every event
// once. `make archive-away` does it for an hour.
func TestArchiveBucketAway(t *testing.T) {
	t.Parallel()
	s := programtest.StartService(t, simulator.Config{})
	store := objectstoretest.Start(t, "evidence")
	key := filepath.Join(t.TempDir(), "archive.key")
	env := []string{
		"BACKHAUL_NATS_URL=" + s.NC.ConnectedUrl(), "BACKHAUL_ARCHIVE=s3://evidence/backhaul", "BACKHAUL_ARCHIVE_S3_ENDPOINT=" + store.URL,
		"BACKHAUL_ARCHIVE_S3_ACCESS_KEY=AKIDEXAMPLE", "BACKHAUL_ARCHIVE_S3_SECRET_KEY=" + programtest.StoreKey,
		"BACKHAUL_ARCHIVE_KEY_FILE=" + key, "BACKHAUL_ARCHIVE_PUBLIC_KEY=" + key + ".pub", "BACKHAUL_ARCHIVE_EVERY=200ms", "BACKHAUL_ADMIN_ADDR=127.0.0.1:0",
	}
	if code, _, stderr := programtest.Once(t, env, "", "archive", "keygen", "backhaul.example.com/events", "-o", key); code != programtest.ExitDone {
		t.Fatal(stderr)
	}
	p := programtest.Start(t, env, "backhaul", "archive")
	request := func(id string) {
		s.Publish("backup.request.billing", nil, programtest.SampleRequest(id))
	}
	request("before")
	s.WaitForOutcomes()
	archivedAll(t, s.JS, env)

	url := programtest.AdminURL(t, p)
	phases := []int{http.StatusServiceUnavailable, http.StatusForbidden, http.StatusNotFound, http.StatusBadGateway}
	for i, status := range phases {
		store.Fail(func(*http.Request) int { return status })
		request(fmt.Sprintf("away-%d", status))
		programtest.WaitForStatus(t, url+"/readyz", http.StatusServiceUnavailable)
		end := time.NewTimer(*archiveAway / time.Duration(len(phases)))
		tick := time.NewTicker(max(*archiveAway/400, 50*time.Millisecond))
		for n, away := 0, true; away; n++ {
			select {
			case <-tick.C:
				request(fmt.Sprintf("away-%d-%d", i, n))
			case <-end.C:
				away = false
			}
		}
		tick.Stop()
	}
	began := time.Now()
	store.Fail(nil)
	s.WaitForOutcomes()
	report := archivedAll(t, s.JS, env)
	t.Logf("away for %s; everything was archived %s after the bucket was back:\n%s", *archiveAway, time.Since(began).Round(time.Millisecond), report)
	if strings.Contains(report, "gap") || !strings.Contains(report, "verified in") {
		t.Errorf("the report is\n%s", report)
	}
	programtest.WaitForStatus(t, url+"/readyz", http.StatusOK)
	programtest.NoSecrets(t, report)
}

var nextEvent = regexp.MustCompile(`event (\d+) is the next one`)

// archivedAll waits until the archive has what the stream has now, and returns its report. More may
// come meanwhile, such as the ends of jobs.
func archivedAll(t *testing.T, js jetstream.JetStream, env []string) (report string) {
	t.Helper()
	events, err := js.Stream(t.Context(), publisher.EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	last := events.CachedInfo().State.LastSeq
	waittest.Eventually(t, "archive with all events", func() bool {
		_, report, _ = programtest.Once(t, env, "", "verify")
		found := nextEvent.FindStringSubmatch(report)
		if found == nil {
			return false
		}
		next, err := strconv.ParseUint(found[1], 10, 64)
		return err == nil && next > last
	})
	return report
}
