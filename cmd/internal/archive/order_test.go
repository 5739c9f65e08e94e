package archive

import (
	"testing"
	"time"
)

// JetStream stores messages with the clock of the stream's leader, which may be set back, and which is
// another one's when the leader changes. No archive is false because of that; verify says it all the same.
func TestVerify_aClockThatWasSetBack(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	all := requests(100)
	for i := 120; i < 140; i++ {
		all[i].Time = all[i].Time.Add(-time.Hour)
	}
	a.append(place, all...)
	report := a.verify()
	if len(report.Problems) > 0 || report.Backwards != 1 || len(report.ClockSteps) != 1 {
		t.Fatalf("%+v", report)
	}
	if got := report.ClockSteps[0]; got.Event != 121 || got.Back != time.Hour-time.Second || !got.Stored.Equal(all[120].Time) {
		t.Errorf("%+v", got)
	}
}
