package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"

	"github.com/go-json-experiment/json"
)

// pairAt writes a token pair where no other test has one.
func pairAt(t testing.TB, pair tokenPair) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pair.json")
	putPair(t, file, pair)
	return file
}

func putPair(t testing.TB, file string, pair tokenPair) {
	t.Helper()
	data, err := json.Marshal(pair)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func pairIn(t testing.TB, file string) tokenPair {
	t.Helper()
	pair, err := pairFile(file).read()
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

func bearer(file string) func(*Config) {
	return withAuth(Auth{Mode: AuthBearer, TokenPairFile: file})
}

var (
	worldPair = tokenPair{Access: worldToken, Refresh: worldRefresh}
	// secondPair is what an operator puts in the place of a pair that is lost.
	secondPair = tokenPair{Access: "second-access-5ec7e7", Refresh: "second-refresh-5ec7e7"}
)

// twoPairs is a world where both pairs are known.
func twoPairs() *simulator.World {
	w := simulator.DefaultWorld()
	w.Users = append(w.Users, simulator.User{Name: "second", AccessToken: secondPair.Access, RefreshToken: secondPair.Refresh})
	return w
}

// expiring is a simulator's configuration whose access tokens can be made to
// expire.
func expiring() (cfg simulator.Config, expire func()) {
	ahead := new(atomic.Int64)
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	return simulator.Config{Now: now, World: twoPairs(), Conflict: simulator.ConflictIgnore},
		func() { ahead.Add(int64(31 * time.Minute)) }
}

func wantRenewals(t testing.TB, sim *simulator.Simulator, sent, issued int) {
	t.Helper()
	a := sim.Account()
	if a.Calls["AccessTokenRenew"] != sent || a.TokensIssued != issued || a.RefreshReuse != 0 || a.Calls["Login"] != 0 {
		t.Errorf("%d renewals sent, %d pairs issued, %d old pairs used, %d logins, want %d, %d and none",
			a.Calls["AccessTokenRenew"], a.TokensIssued, a.RefreshReuse, a.Calls["Login"], sent, issued)
	}
}

// wantLoginError checks for an error that an operator has to see.
func wantLoginError(t testing.TB, err error, text string) {
	t.Helper()
	wantVerdict(t, err, NotSent)
	refusal, ok := errors.AsType[*LoginError](err)
	if !ok || !strings.Contains(refusal.Message, text) {
		t.Fatalf("%v is no LoginError that says %q", err, text)
	}
}

func TestPairRenewal_onceForAllCalls(t *testing.T) {
	cfg, expire := expiring()
	file := pairAt(t, worldPair)
	sim, c := onLoopback(t, cfg, bearer(file))
	before := worldPair
	for round := range 3 {
		for _, err := range everyone(t.Context(), c, 64) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := sim.Account().JobsStarted; n != 64*(round+1) {
			t.Errorf("%d jobs", n)
		}
		wantRenewals(t, sim, round, round)
		after := pairIn(t, file)
		if renewed := after.Access != before.Access && after.Refresh != before.Refresh; renewed != (round > 0) || after.Renewing != "" {
			t.Errorf("round %d: renewed %t, note %q", round, renewed, after.Renewing)
		}
		before = after
		noSecrets(t, c)
		noSecrets(t, c.session)
		expire()
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %s, %v", info.Mode(), err)
	}
	c.Close(t.Context())
	if n := sim.Account().Calls["Logout"]; n != 0 {
		t.Error("the pair was logged out: it is not ours alone")
	}
}

// TestPairRenewal_onceForAllProcesses: this one and others with the same file.
func TestPairRenewal_onceForAllProcesses(t *testing.T) {
	if asProcess(t) {
		return
	}
	cfg, expire := expiring()
	file := pairAt(t, worldPair)
	sim, c := onLoopback(t, cfg, bearer(file))
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	expire()
	// The renewal takes long enough for all to come to it.
	sim.ScriptFor("AccessTokenRenew", simulator.Fault{Kind: simulator.Slow, For: 500 * time.Millisecond})
	second := newTestClient(t, c.endpoint, bearer(file))
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if out, err := process(t, c.endpoint, file).CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for _, c := range []*Client{c, second} {
		all.Go(func() {
			job, err := c.CreateTask(t.Context(), testTask())
			wantJob(t, job, err)
		})
	}
	all.Wait()
	wantRenewals(t, sim, 1, 1)
	if n := sim.Account().JobsStarted; n != 6 {
		t.Errorf("%d jobs", n)
	}
}

// TestPairRenewal_killedMeanwhile: the vendor has renewed the pair, and the process that
// asked for it is gone.
func TestPairRenewal_killedMeanwhile(t *testing.T) {
	if asProcess(t) {
		return
	}
	cfg, expire := expiring()
	file := pairAt(t, worldPair)
	sim, c := onLoopback(t, cfg, bearer(file))
	expire()
	sim.ScriptFor("AccessTokenRenew", simulator.Fault{Kind: simulator.HangAfterStart})
	killed := process(t, c.endpoint, file)
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error, 1)
	go func() {
		// One that waits for the renewal of another process, and then reads its result.
		for sim.Account().TokensIssued == 0 && t.Context().Err() == nil {
			<-time.After(10 * time.Millisecond)
		}
		err := killed.Process.Kill()
		_, callErr := c.CreateTask(t.Context(), testTask())
		waiting <- errors.Join(callErr, err)
	}()
	if err := killed.Wait(); err == nil {
		t.Error("it was not killed")
	}
	wantLoginError(t, <-waiting, "was interrupted")
	for range 3 {
		_, err := newTestClient(t, c.endpoint, bearer(file)).CreateTask(t.Context(), testTask())
		wantLoginError(t, err, file)
	}
	wantRenewals(t, sim, 1, 1)
	putPair(t, file, secondPair)
	for _, c := range []*Client{c, newTestClient(t, c.endpoint, bearer(file))} {
		job, err := c.CreateTask(t.Context(), testTask()) // expired like the first, and renewed
		wantJob(t, job, err)
	}
	wantRenewals(t, sim, 2, 2)
}

// process starts one job in a process of its own: the running test, again.
func process(t *testing.T, endpoint, file string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^"+t.Name()+"$", "-test.timeout=2m")
	cmd.Env = append(os.Environ(), "VENDORAPI_TEST_ENDPOINT="+endpoint, "VENDORAPI_TEST_PAIR="+file)
	return cmd
}

// asProcess is that job, if this is such a process.
func asProcess(t *testing.T) bool {
	t.Helper()
	endpoint := os.Getenv("VENDORAPI_TEST_ENDPOINT")
	if endpoint == "" {
		return false
	}
	job, err := newTestClient(t, endpoint, bearer(os.Getenv("VENDORAPI_TEST_PAIR"))).CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	return true
}

// TestPairRenewal_byAnotherProcess: the file has a newer pair, and even that has expired.
func TestPairRenewal_byAnotherProcess(t *testing.T) {
	cfg, expire := expiring()
	file := pairAt(t, worldPair)
	sim, idle := onLoopback(t, cfg, bearer(file))
	job, err := idle.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	expire()
	job, err = newTestClient(t, idle.endpoint, bearer(file)).CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	wantRenewals(t, sim, 1, 1)
	expire()
	job, err = idle.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	wantRenewals(t, sim, 2, 2)
}

// TestPairRenewal_doesNotHelp: the vendor renews whatever it is sent, and accepts
// no call. The vendor's own MCP client repeats it for ever then.
func TestPairRenewal_doesNotHelp(t *testing.T) {
	start := func(t *testing.T, who http.HandlerFunc) (*vendor, *Client) {
		var renewals atomic.Int32
		v := startVendor(t, map[string]http.HandlerFunc{
			"CreateTask": always(401, denied), "WhoAmI": who,
			"Renew": func(w http.ResponseWriter, _ *http.Request) {
				n := renewals.Add(1)
				reply(w, 200, fmt.Sprintf(`{"accessToken":"5ec7e7-%d","refreshToken":"5ec7e7-%d"}`, n, n))
			},
		})
		return v, newTestClient(t, v.url, bearer(pairAt(t, worldPair)))
	}
	t.Run("denied", func(t *testing.T) {
		v, c := start(t, always(200, `<CvEntities_ProcessingInstructionInfo><user userName="backhaul"/></CvEntities_ProcessingInstructionInfo>`))
		for range 50 {
			_, err := c.CreateTask(t.Context(), testTask())
			wantVerdict(t, err, AuthRefused)
		}
		if n, calls := v.count("Renew"), v.count("CreateTask"); n != 1 || calls != 52 {
			t.Errorf("%d renewals, %d calls", n, calls)
		}
		c.session.current.made = time.Now().Add(-shortestLife) // it may have expired
		_, err := c.CreateTask(t.Context(), testTask())
		wantVerdict(t, err, AuthRefused)
		if n := v.count("Renew"); n != 2 {
			t.Errorf("%d renewals", n)
		}
	})
	t.Run("dead", func(t *testing.T) {
		v, c := start(t, always(401, denied))
		for round := range 3 {
			for range 50 {
				_, err := c.CreateTask(t.Context(), testTask())
				wantLoginError(t, err, "just issued")
			}
			if n, calls := v.count("Renew"), v.count("CreateTask"); n != round+1 || calls != 2*(round+1) {
				t.Errorf("%d renewals, %d calls in round %d", n, calls, round)
			}
			c.session.failure.Store(nil) // the pause is over
		}
	})
}

// TestPairRenewal_outlivesItsCaller: the answer must not be lost because the one who
// happened to ask has no more time.
func TestPairRenewal_outlivesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := pairAt(t, worldPair)
		sim, c := onPipe(t, simulator.Config{}, bearer(file))
		<-time.After(time.Hour)
		sim.ScriptFor("AccessTokenRenew", simulator.Fault{Kind: simulator.Slow, For: 10 * time.Second})
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				_, err := c.CreateTask(within(t, time.Second), testTask())
				wantVerdict(t, err, NotSent)
			})
		}
		both.Wait()
		c.Close(t.Context())
		if pair := pairIn(t, file); pair == worldPair || pair.Renewing != "" {
			t.Error("the new pair is lost")
		}
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		wantRenewals(t, sim, 1, 1)
	})
}

// TestPairRenewal_anotherProcessHasTheLock: no call waits longer than its context.
func TestPairRenewal_anotherProcessHasTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := pairAt(t, worldPair)
		_, c := onPipe(t, simulator.Config{}, bearer(file))
		unlock, err := pairFile(file).lock(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.CreateTask(within(t, time.Second), testTask())
		if wantVerdict(t, err, NotSent); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another process") {
			t.Errorf("%v", err)
		}
		unlock()
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
	})
}
