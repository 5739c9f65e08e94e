package vendorapi

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// TestFind_costsNoWrite: a tenant that has one write left, for the start, finds the job behind the
// lost answer.
func TestFind_costsNoWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		writes := make(writeCounter)
		sim, c := onPipe(t, simulator.Config{RateLimit: simulator.RateLimit{Writes: 2, Reads: 1000, Period: time.Hour}},
			func(cfg *Config) { cfg.Observer = writes })
		since := time.Now()
		sim.Script(simulator.Fault{Kind: simulator.CutAfterStart})
		_, err := c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, Unknown)
		if found := mustFind(t, c, testTask(), since); found.Job.ID == "" {
			t.Errorf("found %+v", found)
		}
		if a := sim.Account(); a.RateLimited != 0 || a.Calls[opJobs] != 0 || a.Calls[opJobList] != 1 {
			t.Errorf("%+v", a)
		}
		if want := (writeCounter{opLogin: 1, opCreateTask: 1}); !maps.Equal(writes, want) {
			t.Errorf("writing calls %v, want %v", writes, want)
		}
	})
}

// writeCounter counts the writing calls of a client that makes one call at a time.
type writeCounter map[string]int

func (w writeCounter) Call(ctx context.Context, c Call) (context.Context, func(int, error)) {
	if c.Write() {
		w[c.Op]++
	}
	return ctx, func(int, error) {}
}

func (w writeCounter) Attempt(ctx context.Context, _ Task, _ int) (context.Context, func(Job, error)) {
	return ctx, func(Job, error) {}
}

func (w writeCounter) Wait(context.Context, Wait) {}

// TestFind_whereGetIsNotAnswered: POST Jobs lists the jobs then. That is remembered, and GET Job is
// tried again later.
func TestFind_whereGetIsNotAnswered(t *testing.T) {
	for name, answer := range map[string]simulator.Fault{
		"not found":     {Kind: simulator.Status, Status: http.StatusNotFound},
		"not a method":  {Kind: simulator.Status, Status: http.StatusMethodNotAllowed},
		"not permitted": {Kind: simulator.Status, Status: http.StatusForbidden},
		"refused":       {Kind: simulator.Status, Status: http.StatusOK, Body: `{"errorCode":2,"errorMessage":"Invalid request"}`},
		"refused, 500":  {Kind: simulator.Status, Status: http.StatusInternalServerError, Body: `{"errorCode":2,"errorMessage":"Invalid request"}`},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{JobDuration: 24 * time.Hour})
			since := time.Now()
			id := begin(t, c, testTask())
			sim.ScriptFor(opJobList, answer)
			calls := func(list, search int) {
				t.Helper()
				wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
				if got := sim.Account().Calls; got[opJobList] != list || got[opJobs] != search {
					t.Errorf("%s: %d times GET Job and %d times POST Jobs, want %d and %d", name, got[opJobList], got[opJobs], list, search)
				}
			}
			calls(1, 1)
			<-time.After(searchFor - time.Second)
			calls(1, 2)
			<-time.After(time.Second)
			calls(2, 2)
		})
	}
}

// TestFind_aFailureThatPasses costs no write: the caller tries again.
func TestFind_aFailureThatPasses(t *testing.T) {
	for _, answer := range []simulator.Fault{
		{Kind: simulator.Crash}, {Kind: simulator.Malformed}, {Kind: simulator.Unavailable, For: time.Second}, {Kind: simulator.TooManyRequests, For: time.Second},
		{Kind: simulator.Status, Status: http.StatusBadGateway}, {Kind: simulator.Status, Status: http.StatusOK, Body: "<html><title>Sign in</title></html>"},
		{Kind: simulator.CutAfterStart}, {Kind: simulator.Status, Status: http.StatusRequestTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			sim, c := onPipe(t, simulator.Config{JobDuration: 24 * time.Hour})
			since := time.Now()
			id := begin(t, c, testTask())
			sim.ScriptFor(opJobList, answer)
			if found, err := c.Find(t.Context(), testTask(), since); err == nil {
				t.Errorf("%s: found %+v", answer.Kind, found)
			}
			wantFound(t, mustFind(t, c, testTask(), since), ids(id), nil)
			if n := sim.Account().Calls[opJobs]; n != 0 {
				t.Errorf("%s: %d times POST Jobs", answer.Kind, n)
			}
		})
	}
}

// TestFind_whilePagesMove: GET Job has no order. When jobs move to pages that were read, the list
// is an error and not one without them.
func TestFind_whilePagesMove(t *testing.T) {
	now := time.Now()
	list := []string{summaryOf(7, now)}
	for i := range 250 {
		list = append(list, strings.ReplaceAll(summaryOf(1000+i, now), "stestgroup", "other"))
	}
	list[120], list[0] = list[0], list[120]
	for moved, fails := range map[int]bool{0: false, 1: false, maxOverlap: false, maxOverlap + 1: true, 40: true} {
		v := startVendor(t, map[string]http.HandlerFunc{"TaskDetails": always(200, detailsOf(testMarker))})
		v.answer["Job"] = func(w http.ResponseWriter, r *http.Request) {
			page, jobs := pageOf(t, r), list
			if page.offset > 0 { // the first jobs have ended and are the last ones now
				jobs = append(append([]string{}, list[moved:]...), list[:moved]...)
			}
			reply(w, 200, listOf(len(jobs), jobs[page.offset:min(page.offset+120, len(jobs))]...))
		}
		found, err := newTestClient(t, v.url).Find(t.Context(), testTask(), now)
		if fails != (err != nil) || !fails && found.Job.ID != "7" {
			t.Errorf("%d moved: found %+v, error %v", moved, found, err)
		}
	}
}

// TestFind_offsetIgnored: where a proxy drops the headers that page a list, POST Jobs reads it.
func TestFind_offsetIgnored(t *testing.T) {
	now := time.Now()
	var list []string
	for i := range 150 {
		list = append(list, strings.ReplaceAll(summaryOf(1000-i, now), "stestgroup", "other"))
	}
	list = append(list, summaryOf(7, now))
	total := func(n int) string { return fmt.Sprintf(`"totalRecordsWithoutPaging":%d,`, n) }
	v := startVendor(t, map[string]http.HandlerFunc{
		"TaskDetails": always(200, detailsOf(testMarker)), "Job": always(200, listOf(len(list), list[:100]...)),
		"Jobs": pagedJobs(t, 100, total, func(int) []string { return list }),
	})
	c := newTestClient(t, v.url)
	for range 2 {
		wantFound(t, mustFind(t, c, testTask(), now), ids("7"), nil)
	}
	if v.count("Job") != 2 || v.count("Jobs") != 4 {
		t.Errorf("%d times GET Job and %d times POST Jobs", v.count("Job"), v.count("Jobs"))
	}
}
