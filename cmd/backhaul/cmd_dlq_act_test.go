package main

import (
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher"
	"backhaul/schemas"
)

// One action is bounded, goes on after a refusal and says what is left; drop takes those alone whose
// replay has started a job.
func TestBulkDeadLetters(t *testing.T) {
	t.Parallel()
	s := waitingService(t)
	pub, err := publisher.New(s.NC)
	if err != nil {
		t.Fatal(err)
	}
	for i, code := range []string{schemas.CodeOutcomeUnknown, "587207178", "587207178"} {
		id := []string{"unknown", "a", "b"}[i]
		err := pub.DeadLetter(t.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: programtest.SampleRequest(id), Key: publisher.NewKey("billing", id), RequestID: id,
			Sequence: uint64(i + 1), Time: time.Now().UTC(), Code: code, Reason: "no",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	run := func(wantCode int, args string, want ...string) {
		t.Helper()
		code, out, stderr := programtest.Once(t, s.Env, "", append([]string{"dlq"}, strings.Fields(args)...)...)
		if code != wantCode {
			t.Errorf("dlq %s: exit code %d, want %d", args, code, wantCode)
		}
		for _, text := range want {
			if !strings.Contains(out+stderr, text) {
				t.Errorf("dlq %s: no %q in\n%s%s", args, text, out, stderr)
			}
		}
	}
	run(exitFailed, "replay --source billing --limit 2 --yes --reason x", "1 more are selected than --limit allows", "1  billing/unknown  refused: there may be a job",
		"2  billing/a  replayed as a-replay-2", "1 refused, 1 replayed")
	run(exitFailed, "replay --all --yes", "2  billing/a  sent again as a-replay-2", "3  billing/b  replayed as b-replay-3", "1 refused, 1 replayed, 1 sent again")
	run(exitDone, "replay 2 3 --limit 2 --yes", "2 sent again")
	run(exitFailed, "drop --all --limit 2 --dry-run", "1 more are selected", "2 would drop")
	run(exitDone, "drop --succeeded --yes", "no dead letter is selected")
	if _, err := pub.Append(t.Context(), publisher.NewKey("billing", "a-replay-2"), 0, &schemas.JobStarted{
		Naming: schemas.Naming{RequestID: "a-replay-2", Source: "billing"}, JobID: "7", JobIDs: []string{"7"}, StartedAt: time.Now(),
	}, ""); err != nil {
		t.Fatal(err)
	}
	run(exitDone, "drop --succeeded --yes --reason done", "2  billing/a  dropped", "1 dropped")
	if n := s.Messages(publisher.DeadLetterStream); n != 2 {
		t.Errorf("%d dead letters are left, want 2", n)
	}
}
