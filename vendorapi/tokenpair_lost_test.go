package vendorapi

import (
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// TestPairRenewal_theAnswerIsLost: whether the pair was renewed is not known, so it is not
// renewed again by any process.
func TestPairRenewal_theAnswerIsLost(t *testing.T) {
	for _, fault := range []simulator.Fault{
		{Kind: simulator.CutAfterStart}, {Kind: simulator.CutBeforeStart}, {Kind: simulator.HangAfterStart},
		{Kind: simulator.HalfBody}, {Kind: simulator.Empty}, {Kind: simulator.PlainText},
		{Kind: simulator.Crash, AfterStart: true}, {Kind: simulator.HTML, AfterStart: true}, {Kind: simulator.Unavailable, AfterStart: true},
		{Kind: simulator.Refused500, AfterStart: true}, {Kind: simulator.Status, Status: 504, AfterStart: true},
	} {
		t.Run(fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := pairAt(t, worldPair)
				sim, c := onPipe(t, simulator.Config{World: twoPairs()}, bearer(file))
				<-time.After(time.Hour)
				sim.ScriptFor("AccessTokenRenew", fault)
				issued := 1
				if fault.Kind == simulator.CutBeforeStart {
					issued = 0
				}
				for _, err := range everyone(t.Context(), c, 8) {
					wantLoginError(t, err, file)
				}
				for range 10 {
					<-time.After(10 * time.Minute)
					_, err := c.CreateTask(t.Context(), testTask())
					wantLoginError(t, err, file)
				}
				wantRenewals(t, sim, 1, issued)

				putPair(t, file, secondPair)
				job, err := c.CreateTask(t.Context(), testTask())
				wantJob(t, job, err)
				wantRenewals(t, sim, 2, issued+1)
			})
		})
	}
}

// TestPairRenewal_theNoteOfAnUnfinishedRenewal: a process that died before it sent anything
// leaves the same file as one that died after.
func TestPairRenewal_theNoteOfAnUnfinishedRenewal(t *testing.T) {
	noted := worldPair
	noted.Renewing = "2026-11-24T07:00:00Z"
	file := pairAt(t, noted)
	sim, c := onLoopback(t, simulator.Config{World: twoPairs()}, bearer(file))
	for range 3 {
		_, err := c.CreateTask(t.Context(), testTask())
		wantLoginError(t, err, noted.Renewing)
		wantLoginError(t, err, file)
	}
	if n := len(sim.Account().Calls); n != 0 {
		t.Error("the vendor was called")
	}
	putPair(t, file, secondPair) // no restart, and no pause
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
}

// TestPairRenewal_didNotHappen: the pair is as good as before.
func TestPairRenewal_didNotHappen(t *testing.T) {
	for _, tt := range []struct {
		fault simulator.Fault
		want  Verdict
		wait  time.Duration
	}{
		{simulator.Fault{Kind: simulator.TooManyRequests, For: 20 * time.Second}, Throttled, 20 * time.Second},
		{simulator.Fault{Kind: simulator.Status, Status: 404}, NotSent, loginPause},
		{simulator.Fault{Kind: simulator.Status, Status: 308}, NotSent, loginPause},
	} {
		t.Run(tt.fault.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := pairAt(t, worldPair)
				sim, c := onPipe(t, simulator.Config{}, bearer(file))
				<-time.After(time.Hour)
				sim.ScriptFor("AccessTokenRenew", tt.fault)
				for range 3 { // one attempt for all
					_, err := c.CreateTask(t.Context(), testTask())
					if e := wantVerdict(t, err, tt.want); e.RetryAfter != tt.wait || e.Op != opRenew {
						t.Errorf("%+v", e)
					}
				}
				wantRenewals(t, sim, 1, 0)
				if pair := pairIn(t, file); pair != worldPair {
					t.Error("the pair in the file is another")
				}
				<-time.After(tt.wait)
				job, err := c.CreateTask(t.Context(), testTask())
				wantJob(t, job, err)
				wantRenewals(t, sim, 2, 1)
			})
		})
	}
	t.Run("no connection", func(t *testing.T) {
		cfg, expire := expiring()
		file := pairAt(t, worldPair)
		sim, c := onLoopback(t, cfg, bearer(file))
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		expire()
		d := new(dials).on(c)
		d.refuse.Store(true)
		t0, err := c.session.token(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t0.accepted.Store(0) // a long time ago
		transportOf(c).CloseIdleConnections()
		again, err := c.session.refused(t.Context(), t0, opCreateTask, new(refusals))
		if e := wantVerdict(t, err, NotSent); again || e.Op != opRenew {
			t.Errorf("%v", err)
		}
		if pair := pairIn(t, file); pair != worldPair {
			t.Error("the pair in the file is another")
		}
		d.refuse.Store(false)
		job, err = c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
		wantRenewals(t, sim, 1, 1)
	})
}

// TestPairRenewal_isRefused: one attempt for all, and none in the pause.
func TestPairRenewal_isRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := pairAt(t, worldPair)
		sim, c := onPipe(t, simulator.Config{World: twoPairs()}, bearer(file))
		<-time.After(15 * 24 * time.Hour) // a pair can be renewed for 14 days
		for _, err := range everyone(t.Context(), c, 64) {
			wantLoginError(t, err, "does not renew the token pair")
			wantLoginError(t, err, "Access denied")
		}
		for range loginPause/time.Second - 1 {
			<-time.After(time.Second)
			_, err := c.CreateTask(t.Context(), testTask())
			wantLoginError(t, err, "does not renew the token pair")
		}
		wantRenewals(t, sim, 1, 0)
		<-time.After(time.Second)
		_, err := c.CreateTask(t.Context(), testTask())
		wantLoginError(t, err, "does not renew the token pair")
		wantRenewals(t, sim, 2, 0)

		putPair(t, file, tokenPair{Access: "unknown-5ec7e7", Refresh: "unknown-5ec7e7"})
		_, err = c.CreateTask(t.Context(), testTask()) // at once
		wantLoginError(t, err, "does not renew the token pair")
		wantRenewals(t, sim, 3, 0)
	})
}
