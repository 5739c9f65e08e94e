package consumer

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"backhaul/schemas"
	"backhaul/schemas/schemastest"
)

// A new kind needs a line here: whether it leaves a dead letter, and the level of its log line.
func TestOutcome_everyKind(t *testing.T) {
	t.Parallel()
	want := map[schemas.Kind]struct {
		deadLetter bool
		line       string
	}{
		schemas.KindJobSubmitting:   {false, `"level":"info"`},
		schemas.KindJobStarted:      {false, `"level":"info","jobId":`},
		schemas.KindJobFailed:       {true, `"level":"warn","errorCode":`},
		schemas.KindRequestRejected: {true, `"level":"warn","reason":`},
		schemas.KindJobChanged:      {false, `"level":"info"`}, // not outcomes of a request
		schemas.KindJobFinished:     {false, `"level":"info"`},
		schemas.KindJobUnfollowed:   {false, `"level":"info"`},
	}
	for _, kind := range schemas.Kinds {
		c, decided := want[kind]
		if !decided {
			t.Errorf("say here what an outcome of the kind %s leads to", kind)
		}
		for _, e := range schemastest.Events(t, kind) {
			code, reason, failed := failureOf(e)
			if failed != c.deadLetter || failed != (code != "" && reason != "") {
				t.Errorf("%s: dead letter %t with %q, %q, want %t", kind, failed, code, reason, c.deadLetter)
			}
			var out bytes.Buffer
			log := zerolog.New(&out)
			outcomeLine(&log, e).Msg(string(kind))
			if !strings.Contains(out.String(), c.line) {
				t.Errorf("%s is logged as %s, want %s", kind, out.String(), c.line)
			}
		}
	}
	var out bytes.Buffer
	log := zerolog.New(&out)
	outcomeLine(&log, &schemas.JobFailed{ErrorCode: schemas.CodeCancelled, ErrorSource: schemas.ErrorSourceBackhaul}).Msg("")
	if !strings.HasPrefix(out.String(), `{"level":"info","errorCode":"CANCELLED"`) {
		t.Errorf("a cancelled request is logged as %s, want no warning", out.String())
	}
}
