package chaos

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
)

// soakWatch samples each replica's memory and /livez.
type soakWatch struct {
	s      *soak
	client *http.Client

	mu      sync.Mutex
	memory  int             // most, in kB
	answers []time.Duration // of /livez, by processes that lived through the call
	silent  []string        // calls of /livez that a living process did not answer
}

func newSoakWatch(s *soak) *soakWatch {
	return &soakWatch{s: s, client: &http.Client{
		Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}, // as a kubelet asks
	}}
}

const soakSample = 250 * time.Millisecond

func (w *soakWatch) run(ctx context.Context) {
	var all sync.WaitGroup
	for i := range w.s.admin {
		all.Go(func() {
			paced(ctx, float64(time.Second/soakSample), func(int) { w.sample(i) })
		})
	}
	all.Wait()
}

var resident = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// sample measures one replica. A process that was killed, is frozen, or has not begun to listen, counts for nothing.
func (w *soakWatch) sample(i int) {
	replica := w.s.chaos.replicas[i]
	pid, life := replica.pid()
	if pid == 0 {
		return
	}
	if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
		if found := resident.FindSubmatch(status); found != nil {
			kB, _ := strconv.Atoi(string(found[1]))
			w.mu.Lock()
			w.memory = max(w.memory, kB)
			w.mu.Unlock()
		}
	}
	began := time.Now()
	resp, err := w.client.Get("http://" + w.s.admin[i] + "/livez")
	took := time.Since(began)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if again, lives := replica.pid(); again != pid || lives != life || replica.wasFrozen(began) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil && resp.StatusCode == http.StatusOK:
		w.answers = append(w.answers, took)
	case err != nil && took > time.Second: // a refused connection is a process that begins
		w.silent = append(w.silent, fmt.Sprintf("replica %d: %v", i, err))
	}
}

// quantile returns the q-quantile of the answers of /livez.
func (w *soakWatch) quantile(q float64) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.answers) == 0 {
		return 0
	}
	slices.Sort(w.answers)
	return w.answers[min(int(q*float64(len(w.answers))), len(w.answers)-1)]
}
