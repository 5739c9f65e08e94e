package vendorapi

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// TestDescriptionsAreKept: they never change, so none is asked for twice.
func TestDescriptionsAreKept(t *testing.T) {
	sim, c := onLoopback(t, simulator.Config{Conflict: simulator.ConflictIgnore})
	since := time.Now()
	var want []string
	for i := range 5 {
		task := testTask()
		task.Marker = fmt.Sprintf("backhaul:other/%d", i)
		begin(t, c, task)
	}
	want = append(want, begin(t, c, testTask()))
	for range 3 {
		wantFound(t, mustFind(t, c, testTask(), since), want, nil)
	}
	if n := sim.Account().Calls["TaskDetails"]; n != 6 {
		t.Errorf("%d descriptions of 6 jobs were read", n)
	}
	// Our own start is known without asking.
	task := testTask()
	task.Marker = "backhaul:own/1"
	job, err := c.CreateTask(t.Context(), task)
	wantJob(t, job, err)
	wantFound(t, mustFind(t, c, task, since), job.IDs, nil)
	if n := sim.Account().Calls["TaskDetails"]; n != 6 {
		t.Errorf("the description of our own job was read")
	}
}

func TestDescriptionsAreBounded(t *testing.T) {
	var d known
	for i := range 3 * maxKnown {
		d.put(fmt.Sprint(i), "text")
		if len(d.byID) > maxKnown {
			t.Fatalf("%d are kept", len(d.byID))
		}
	}
	if text, ok := d.get(fmt.Sprint(3*maxKnown - 1)); !ok || text != "text" {
		t.Error("the last one is forgotten")
	}
}

// TestDescriptionsAreShared: who asks at the same time gets the same answer, a
// failure too, and the call ends when nobody waits for it any more.
func TestDescriptionsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim, c := onPipe(t, simulator.Config{JobDuration: time.Hour})
		id := begin(t, c, testTask())
		read := func(ctx context.Context) chan error {
			done := make(chan error, 1)
			go func() {
				text, err := c.description(ctx, id)
				if err == nil && text != testMarker {
					err = fmt.Errorf("read %q", text)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		wantCalls := func(want int) {
			t.Helper()
			if n := sim.Account().Calls[opTaskDetails]; n != want {
				t.Errorf("%d calls, want %d", n, want)
			}
		}

		chances, err := simulator.ParseFaults("TaskDetails/slow=1s,TaskDetails/502-after-start=1")
		if err != nil {
			t.Fatal(err)
		}
		sim.SetFaults(chances)
		for _, done := range []chan error{read(t.Context()), read(t.Context()), read(t.Context())} {
			if e := wantVerdict(t, <-done, Unknown); e.Op != opTaskDetails || e.Status != 502 {
				t.Errorf("%+v", e)
			}
		}
		sim.SetFaults(nil)
		wantCalls(1)

		// One leaves, the other keeps the call.
		slowly(sim, opTaskDetails, 1)
		ctx, leave := context.WithCancel(t.Context())
		left, stays := read(ctx), read(t.Context())
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if err := <-stays; err != nil {
			t.Error(err)
		}
		wantCalls(2)

		// The only one leaves: the next has a call of its own.
		c.forget()
		sim.ScriptFor(opTaskDetails, simulator.Fault{Kind: simulator.HangAfterStart})
		ctx, leave = context.WithCancel(t.Context())
		left = read(ctx)
		leave()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		began := time.Now()
		if err := <-read(t.Context()); err != nil || time.Since(began) != 0 {
			t.Errorf("error %v after %s", err, time.Since(began))
		}
		wantCalls(4)
	})
}
