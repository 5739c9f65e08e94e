package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-json-experiment/json"

	"backhaul/vendorapi/simulator"
)

// memory is a store of logins in memory.
type memory struct {
	mu      sync.Mutex
	entries []LoginEntry
	fails   bool
	skew    time.Duration // the shared clock minus ours
	repeats bool          // the next write is made twice, and the second answer is returned
}

func (m *memory) Last(context.Context) (LoginEntry, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fails:
		return LoginEntry{}, time.Time{}, errors.New("no store")
	case len(m.entries) == 0:
		return LoginEntry{}, time.Now().Add(m.skew), nil
	}
	return m.entries[len(m.entries)-1], time.Now().Add(m.skew), nil
}

func (m *memory) Append(_ context.Context, after uint64, e LoginEntry) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.fails:
		return 0, errors.New("no store")
	case after != uint64(len(m.entries)):
		return 0, ErrLoginsChanged
	}
	e.Sequence = after + 1
	m.entries = append(m.entries, e)
	if m.repeats {
		m.repeats = false
		return 0, ErrLoginsChanged
	}
	return e.Sequence, nil
}

// gathering is a store whose next readers continue only when all of them have read.
type gathering struct {
	memory
	awaited atomic.Int32
	readers sync.WaitGroup
}

func (g *gathering) gather(n int) {
	g.readers.Add(n)
	g.awaited.Store(int32(n))
}

func (g *gathering) Last(ctx context.Context) (LoginEntry, time.Time, error) {
	last, now, err := g.memory.Last(ctx)
	if g.awaited.Add(-1) >= 0 {
		g.readers.Done()
		g.readers.Wait()
	}
	return last, now, err
}

// wrongPassword is not a password of the simulator.
const wrongPassword = Secret("wrong-5ec7e7")

// replicasOf are n clients that share a store.
func replicasOf(t *testing.T, endpoint string, dial func(*Client), store Logins, n int, password func(i int) (Secret, error)) (all []*Client) {
	for i := range n {
		c := newTestClient(t, endpoint, withAuth(Auth{
			Mode: AuthLogin, Username: testUser, Password: func() (Secret, error) { return password(i) },
			Logins: store, Process: fmt.Sprintf("replica-%d", i),
		}))
		dial(c)
		all = append(all, c)
	}
	return all
}

// onReplicas is a bubble's simulator with n replicas.
func onReplicas(t *testing.T, store Logins, n int, password func(i int) (Secret, error)) (*simulator.Simulator, []*Client) {
	sim, first := onPipe(t, simulator.Config{})
	return sim, replicasOf(t, first.endpoint, func(c *Client) { transportOf(c).DialContext = transportOf(first).DialContext }, store, n, password)
}

// asking has every replica start a job now and then, until a time has passed.
func asking(t *testing.T, replicas []*Client, d time.Duration) {
	t.Helper()
	pause := min(max(d/60, time.Second), 20*time.Second)
	var all sync.WaitGroup
	for i, c := range replicas {
		all.Go(func() {
			for end := time.Now().Add(d); time.Now().Before(end); <-time.After(pause) {
				_, err := c.CreateTask(t.Context(), loadTask(i+1))
				noSecrets(t, err)
			}
		})
	}
	all.Wait()
}

// Four replicas with a wrong password do not lock the account, which locks after 5,
// not even if each sends it before it hears of the others.
func TestLoginGate_manyReplicasLockNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(gathering)
		store.gather(4)
		sim, replicas := onReplicas(t, store, 4, func(int) (Secret, error) { return wrongPassword, nil })
		var counts []int
		for _, d := range []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute, 30 * time.Minute, 6 * time.Hour} {
			asking(t, replicas, d)
			counts = append(counts, sim.Account().LoginFailures)
		}
		if got := fmt.Sprint(counts); got != "[4 4 4 4 4]" {
			t.Errorf("refused logins by time: %s", got)
		}
		// Restarted: it does not begin again.
		sim2, restarted := sim, replicasOf(t, replicas[0].endpoint, func(c *Client) { transportOf(c).DialContext = transportOf(replicas[0]).DialContext }, store, 1,
			func(int) (Secret, error) { return wrongPassword, nil })
		asking(t, restarted, time.Minute)
		if n := sim2.Account().LoginFailures; n != 4 {
			t.Errorf("%d refused logins after a restart", n)
		}
		_, err := restarted[0].CreateTask(t.Context(), testTask())
		refusal, ok := errors.AsType[*LoginError](err)
		if !ok || refusal.Code != "1116" || !strings.HasPrefix(refusal.By, "replica-") || refusal.Until.Before(time.Now()) {
			t.Errorf("%v", err)
		}
		// The shared entry shows neither password.
		text, err := json.Marshal(store.entries)
		if err != nil || len(store.entries) == 0 {
			t.Errorf("%d entries, %v", len(store.entries), err)
		}
		noSecrets(t, string(text))
		// The right one is tried at once.
		right := replicasOf(t, replicas[0].endpoint, func(c *Client) { transportOf(c).DialContext = transportOf(replicas[0]).DialContext }, store, 1,
			func(int) (Secret, error) { return testPassword, nil })
		job, err := right[0].CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
	})
}

// Replicas that start one after the other send a wrong password once together, and
// again after each pause.
func TestLoginGate_sendsAWrongPasswordOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(gathering)
		sim, replicas := onReplicas(t, store, 10, func(int) (Secret, error) { return wrongPassword, nil })
		asking(t, replicas[:1], time.Second)
		var counts []int
		for _, d := range []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute, 31 * time.Minute, 6 * time.Hour} {
			asking(t, replicas, d)
			counts = append(counts, sim.Account().LoginFailures)
		}
		if got := fmt.Sprint(counts); got != "[1 2 3 4 4]" {
			t.Errorf("refused logins by time: %s", got)
		}
		<-time.After(nearlyLockedPause)
		store.gather(len(replicas)) // all find that it may be sent again
		asking(t, replicas, time.Second)
		if n := sim.Account().LoginFailures; n != 5 {
			t.Errorf("%d refused logins after another pause", n)
		}
	})
}

// A password that is changed in its place is tried at once.
func TestLoginGate_triesAChangedPasswordAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var password atomic.Value
		password.Store(wrongPassword)
		sim, replicas := onReplicas(t, new(memory), 3, func(int) (Secret, error) { return password.Load().(Secret), nil })
		asking(t, replicas, time.Minute)
		before := sim.Account().LoginFailures
		password.Store(Secret(testPassword))
		begin := time.Now()
		for i, c := range replicas {
			job, err := c.CreateTask(t.Context(), loadTask(i+1))
			wantJob(t, job, err)
		}
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("waited for %s", waited)
		}
		if a := sim.Account(); a.LoginFailures != before || a.Logins != 3 || before > 3 {
			t.Errorf("%d refused before, %d after, %d logins", before, a.LoginFailures, a.Logins)
		}
	})
}

// Replicas with two wrong passwords count together, and one with the right one works.
func TestLoginGate_wrongPasswordsCountTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, replicas := onReplicas(t, new(memory), 5, func(i int) (Secret, error) {
			switch i {
			case 0:
				return testPassword, nil
			case 1, 2:
				return wrongPassword, nil
			}
			return wrongPassword + "-too", nil
		})
		asking(t, replicas, 59*time.Minute)
		if a := sim.Account(); a.LoginFailures > 4 || a.Logins != 1 || a.JobsStarted == 0 {
			t.Errorf("%d refused, %d logins, %d jobs", a.LoginFailures, a.Logins, a.JobsStarted)
		}
	})
}

// Without a store, and while it fails, each process has the same pauses.
func TestLoginGate_withoutAStore(t *testing.T) {
	for _, store := range []Logins{nil, &memory{fails: true}} {
		synctest.Test(t, func(t *testing.T) {
			sim, replicas := onReplicas(t, store, 1, func(int) (Secret, error) { return wrongPassword, nil })
			asking(t, replicas, 90*time.Minute)
			if n := sim.Account().LoginFailures; n != 4 {
				t.Errorf("%d refused logins", n)
			}
		})
	}
}

// A process that dies while it logs in delays the others for a limited time.
func TestLoginGate_aProcessDiedWhileItLoggedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{entries: []LoginEntry{{
			Sequence: 1, By: "dead", At: time.Now(), Trying: true,
			Refused: []RefusedSecret{{Fingerprint: "another", Times: 1}}, RefusedAt: time.Now(), RefusedBy: "dead",
		}}}
		_, replicas := onReplicas(t, store, 1, func(int) (Secret, error) { return testPassword, nil })
		begin := time.Now()
		job, err := replicas[0].CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		if took := time.Since(begin); took < tryingFor-time.Second || took > tryingFor+time.Second {
			t.Errorf("waited %s", took)
		}
	})
}

// A login that ends without an answer says nothing about the password.
func TestLoginGate_anUnclearLoginIsNotARefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := new(memory)
		sim, replicas := onReplicas(t, store, 1, func(int) (Secret, error) { return testPassword, nil })
		sim.ScriptFor("Login", simulator.Fault{Kind: simulator.CutBeforeStart}, simulator.Fault{Kind: simulator.Crash})
		for range 2 {
			_, err := replicas[0].CreateTask(t.Context(), testTask())
			wantVerdict(t, err, NotSent)
		}
		job, err := replicas[0].CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		last, _, _ := store.Last(t.Context())
		if last.Trying || len(last.Refused) > 0 {
			t.Errorf("%+v", last)
		}
	})
}

// Refusals of a password count for a day, or until the vendor accepts it.
func TestLoginGate_refusalsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &memory{skew: -time.Hour, repeats: true}
		sim, replicas := onReplicas(t, store, 1, func(int) (Secret, error) { return testPassword, nil })
		refused := func(want int) {
			t.Helper()
			sim.ScriptFor("Login", simulator.Fault{Kind: simulator.Status, Status: 401, Body: denied})
			_, err := replicas[0].CreateTask(t.Context(), testTask())
			wantLoginError(t, err, "Access denied")
			last, _, _ := store.Last(t.Context())
			if len(last.Refused) != 1 || last.Refused[0].Times != want || len(last.Refused[0].Fingerprint) != 4 {
				t.Errorf("%+v, want %d refusals", last, want)
			}
			if !last.RefusedAt.Equal(time.Now().Add(store.skew)) {
				t.Errorf("refused at %s by the shared clock", last.RefusedAt)
			}
		}
		refused(1)
		<-time.After(time.Minute)
		refused(2)
		<-time.After(forgetRefused + time.Second)
		refused(1)
		<-time.After(time.Minute)
		job, err := replicas[0].CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		if last, _, _ := store.Last(t.Context()); last.Trying || len(last.Refused) > 0 {
			t.Errorf("%+v", last)
		}
	})
}

// A password that was refused to one user may be another user's.
func TestLoginGate_refusalsAreOfOneUser(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, replicas := onReplicas(t, new(memory), 1, func(int) (Secret, error) { return wrongPassword, nil })
		for i, user := range []string{testUser, "another", "another"} {
			session := replicas[0].session
			session.source.(*login).username = user
			session.failure.Store(nil)
			_, err := replicas[0].CreateTask(t.Context(), testTask())
			wantLoginError(t, err, "")
			if n := sim.Account().Calls["Login"]; n != min(i+1, 2) {
				t.Errorf("%d logins of %s", n, user)
			}
		}
	})
}

// Refusals of all passwords count together, and the vendor's lock is waited for.
func TestLoginEntry_until(t *testing.T) {
	at := time.Now()
	for _, tt := range []struct {
		times  []int
		locked time.Duration
		want   time.Duration
	}{
		{[]int{1}, 0, time.Minute},
		{[]int{2, 1}, 0, 30 * time.Minute},
		{[]int{1, 1, 1, 9}, 0, time.Hour},
		{[]int{1}, 2 * time.Hour, 2 * time.Hour},
		{[]int{1}, 1000 * time.Hour, nearlyLockedPause},
	} {
		e := LoginEntry{RefusedAt: at, LockedMillis: tt.locked.Milliseconds()}
		for _, times := range tt.times {
			e.Refused = append(e.Refused, RefusedSecret{Times: times})
		}
		if got := e.until().Sub(at); got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	refused := []RefusedSecret{{Times: 4}}
	if e := (LoginEntry{RefusedAt: at, Refused: refused, LockedMillis: 300_000, Locked: true}); e.until().Sub(at) != 5*time.Minute {
		t.Errorf("a locked account: %s, want the vendor's time", e.until().Sub(at))
	}
	if e := (LoginEntry{RefusedAt: at, Refused: refused, Unsure: true}); e.until().Sub(at) != unsurePause {
		t.Errorf("what may be a fault of the vendor: %s, want %s", e.until().Sub(at), unsurePause)
	}
}

// A refusal of a locked account ends with the lock, however long the pause was before it.
func TestLoginGateAfter_aLockedAccount(t *testing.T) {
	g := loginGate{by: "a"}
	e := g.after(LoginEntry{}, "wrong", &LoginError{Code: "1116", nearlyLocked: true}, false)
	if got := e.until().Sub(e.RefusedAt); got != nearlyLockedPause {
		t.Fatalf("nearly locked: %s", got)
	}
	e = g.after(e, "other", &LoginError{Code: "1116"}, false)
	if got := e.until().Sub(e.RefusedAt); got < nearlyLockedPause-time.Minute {
		t.Errorf("another refusal ends the pause of a nearly locked account after %s", got)
	}
	e = g.after(e, "right", &LoginError{Code: "1117", Locked: 5 * time.Minute}, false)
	if got := e.until().Sub(e.RefusedAt); got != 5*time.Minute {
		t.Errorf("locked: %s, want the vendor's 5m", got)
	}
}

// An answer to Login that does not mention the credentials may be a fault of the vendor.
func TestReadLogin_faultsOfTheVendor(t *testing.T) {
	t.Parallel()
	for body, c := range map[string]struct {
		status int
		unsure bool
		says   string
	}{
		`{"errorCode":99,"errorMessage":"The CommServe database is down"}`:                             {500, true, "database is down"},
		`{"errList":[{"errorCode":7,"errLogMessage":"License expired"}]}`:                              {200, true, "License expired"},
		`{"message":"Your IP address is not in the allow list"}`:                                       {403, true, "not in the allow list"},
		`{"errList":[{"errorCode":1116,"errLogMessage":"Wrong."}]}`:                                    {200, false, "Wrong."},
		`{"errList":[{"errorCode":8,"errLogMessage":"Wrong."}],"loginAttempts":2}`:                     {200, false, "Wrong."},
		`{"errList":[{"errorCode":9,"errLogMessage":"."}],"isAccountLocked":1,"remainingLockTime":60}`: {200, false, "locked for 1m0s"},
	} {
		_, err := readLogin(response{Status: c.status, Body: []byte(body)})
		noSecrets(t, err)
		refusal, ok := errors.AsType[*LoginError](err)
		if !ok || refusal.unsure != c.unsure || !strings.Contains(refusal.Error(), c.says) {
			t.Errorf("%s: %v, %+v", body, err, refusal)
		}
	}
}

func TestLoginGate_refusedSecretsAreBounded(t *testing.T) {
	g, e := loginGate{by: "a"}, LoginEntry{}
	for i := range 3 * maxRefused {
		secret := fmt.Sprint("secret ", i)
		e = g.after(e, secret, new(LoginError), false)
		if len(e.Refused) > maxRefused || e.find(g.fingerprint(e.Salt, secret)) < 0 {
			t.Fatalf("%+v", e)
		}
	}
	if g.fingerprint("one salt", testPassword) == g.fingerprint("another", testPassword) {
		t.Error("a fingerprint does not depend on the salt")
	}
}
