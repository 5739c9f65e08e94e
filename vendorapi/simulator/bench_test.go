package simulator_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"backhaul/vendorapi/simulator"
)

// The goal is at least 10,000 CreateTask calls per second on one core: 100 µs each.

func BenchmarkCreateTask(b *testing.B) {
	b.Run("JSON", func(b *testing.B) { benchmarkHandler(b, "application/json", sampleJSON(b)) })
	b.Run("XML", func(b *testing.B) { benchmarkHandler(b, "application/xml", sampleXML(b)) })
}

func benchmarkHandler(b *testing.B, contentType, body string) {
	sim, c := direct(b, simulator.Config{})
	b.ReportAllocs()
	calls := 0
	for b.Loop() {
		calls++
		r := httptest.NewRequest(http.MethodPost, c.endpoint+"/CreateTask", strings.NewReader(body))
		r.Header.Set("Authtoken", c.token)
		r.Header.Set("Content-Type", contentType)
		w := httptest.NewRecorder()
		sim.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
	if got := sim.Account().JobsStarted; got != calls {
		b.Fatalf("%d jobs started by %d calls", got, calls)
	}
}

func BenchmarkCreateTaskLoopback(b *testing.B) {
	_, c := start(b, simulator.Config{})
	c.http.Transport.(*http.Transport).MaxIdleConnsPerHost = 100
	body := sampleJSON(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if got, err := c.send(http.MethodPost, "/CreateTask", body); err != nil || got.status != http.StatusOK {
				b.Errorf("%v: %s", err, got.body)
				return
			}
		}
	})
}

// BenchmarkJobSearch lists one content group's jobs of the last minute among 100,000 jobs
// of others.
func BenchmarkJobSearch(b *testing.B) {
	_, c := direct(b, simulator.Config{})
	for range 100_000 {
		c.post("/CreateTask", task("load-1", ""))
	}
	c.start("stestgroup", "the-one")
	id := c.get("/Subclient?clientId=3").text("subClientProperties.0.subClientEntity.subclientId")
	body := `{"category":0,"jobFilter":{"completedJobLookupTime":60,"entity":{"subclientId":` + id + `}}}`
	for b.Loop() {
		c.post("/Jobs", body).want("totalRecordsWithoutPaging", "1")
	}
}

// BenchmarkJobList lists what ended in the last five minutes, and one page of the active
// jobs, with 10,000 active jobs and 100,000 that ended long ago.
func BenchmarkJobList(b *testing.B) {
	sim, c := direct(b, simulator.Config{})
	for i := range 110_000 {
		if i == 100_000 {
			sim.Advance(20 * time.Minute)
			sim.SetLives([]simulator.LifeRule{{Life: simulator.MustParseLife("pending"), Probability: 1}})
		}
		c.post("/CreateTask", task("load-"+strconv.Itoa(i), ""))
	}
	for _, category := range []string{"Finished", "Active"} {
		b.Run(category, func(b *testing.B) {
			for b.Loop() {
				c.get("/Job?completedJobLookupTime=300&jobCategory="+category, "limit: 1000")
			}
		})
	}
}
