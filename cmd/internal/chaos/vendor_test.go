package chaos

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/vendorapi/simulator"
)

// chaosVendor is the simulated Commvault, over real HTTP, with a log of every
// call: when a job was started twice, its times show by which replica.
type chaosVendor struct {
	*simulator.Simulator
	endpoint string

	mu     sync.Mutex
	log    *os.File
	starts []startCall
}

// startCall is one call of CreateTask, as the vendor saw it.
type startCall struct {
	came, answered time.Time
	session        string // a process has one at a time
	marker         string
	retryAfter     time.Duration // the wait it was given, 0 for none
}

func startChaosVendor(t *testing.T, dir string, p chaosPlan) *chaosVendor {
	t.Helper()
	chances, err := simulator.ParseFaults(p.Faults)
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "vendor.log"))
	if err != nil {
		t.Fatal(err)
	}
	v := &chaosVendor{log: log, Simulator: simulator.New(simulator.Config{
		World: programtest.World(), Seed: p.Seed, VisibleAfter: p.VisibleAfter, HideDescriptions: p.HideDescriptions,
		JobDuration: time.Second, Conflict: simulator.ConflictIgnore,
	})}
	v.SetFaults(chances)
	server := httptest.NewUnstartedServer(v)
	server.Config.ConnState = v.ConnState
	server.Start()
	t.Cleanup(func() {
		server.CloseClientConnections() // a handler may be hanging on purpose
		server.Close()
		_ = log.Close()
	})
	v.endpoint = server.URL + "/webconsole/api"
	return v
}

var markerInBody = regexp.MustCompile(`backhaul:[A-Za-z0-9/_:-]+`)

// ServeHTTP notes when a call came, when and how it ended, and whose it was.
func (v *chaosVendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	came := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller has gone before it had said anything
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	noted := &notedStatus{ResponseWriter: w}
	defer func() {
		c := startCall{came: came, answered: time.Now(), session: r.Header.Get("Authtoken"), marker: string(markerInBody.Find(body))}
		if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); err == nil {
			c.retryAfter = time.Duration(seconds) * time.Second
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if c.marker != "" {
			v.starts = append(v.starts, c)
		}
		fmt.Fprintf(v.log, "%s %6.1fms %3d %s %s %s …%s\n", came.UTC().Format("15:04:05.000000"),
			float64(c.answered.Sub(came).Microseconds())/1000, noted.status, r.Method, r.URL.Path,
			c.marker, c.session[max(0, len(c.session)-6):])
	}()
	v.Simulator.ServeHTTP(noted, r)
}

// startCalls are the calls of CreateTask that have ended.
func (v *chaosVendor) startCalls() []startCall {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.starts
}

// notedStatus remembers the status; 0 is an answer that never came.
type notedStatus struct {
	http.ResponseWriter
	status int
}

func (w *notedStatus) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController find the connection.
func (w *notedStatus) Unwrap() http.ResponseWriter { return w.ResponseWriter }
