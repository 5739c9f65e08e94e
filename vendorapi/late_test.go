package vendorapi

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"backhaul/vendorapi/internal/http1"
)

// TestCreateTask_aPauseWhileWaitingForAConnection: calls that wait for a connection while
// those that have one are told to leave the vendor alone do not go out when
// their turn comes.
func TestCreateTask_aPauseWhileWaitingForAConnection(t *testing.T) {
	var asked sync.WaitGroup // all have passed every check but the last
	v := startVendor(t, map[string]http.HandlerFunc{"CreateTask": func(w http.ResponseWriter, _ *http.Request) {
		asked.Wait()
		w.Header().Set("Retry-After", "60")
		reply(w, http.StatusTooManyRequests, "")
	}})
	c := newTestClient(t, v.url, byToken, func(cfg *Config) { cfg.MaxConns = 1 })
	c.send = func(ctx context.Context, r *http1.Request) (http1.Answer, error) {
		asked.Done()
		return c.transport.Do(ctx, r)
	}
	atOnce := transportOf(c).MaxConns
	asked.Add(4 * atOnce)
	var all sync.WaitGroup
	for i := range 4 * atOnce {
		all.Go(func() {
			_, err := c.CreateTask(t.Context(), loadTask(i))
			if e := wantVerdict(t, err, Throttled); e.RetryAfter <= 0 || e.RetryAfter > time.Minute {
				t.Errorf("%+v", e)
			}
		})
	}
	all.Wait()
	if n := v.count("CreateTask"); n < 1 || n > atOnce {
		t.Errorf("%d calls, want at most the %d that had a connection", n, atOnce)
	}
}
