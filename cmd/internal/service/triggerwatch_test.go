package service

import (
	"errors"
	"strings"
	"testing"
	"time"

	"backhaul/cmd/internal/queue"
	"backhaul/consumer/trigger"
)

// What is known of the trigger decides about the condition: none where there is no trigger, the
// reader's own conditions, and a trigger that is missed only after a second look.
func TestTriggerWatch(t *testing.T) {
	t.Parallel()
	reads := &queue.Trigger{Waiting: 2, Reader: &trigger.State{Reading: true, Owner: "host/7", Windows: 1}}
	troubled := &queue.Trigger{Reader: &trigger.State{Reading: true, Conditions: []trigger.Condition{{Name: "directives", Text: "no such bucket"}}}}
	unread, idle := &queue.Trigger{Waiting: 1}, &queue.Trigger{}
	for name, tt := range map[string]struct {
		looks   []*queue.Trigger
		err     error
		again   time.Duration
		trouble string // "" for none
		note    string
	}{
		"not asked":             {note: "not asked yet"},
		"not in use":            {looks: []*queue.Trigger{nil, nil}, again: triggerRarely, note: "not in use"},
		"not permitted":         {looks: []*queue.Trigger{nil}, err: errors.New("refused"), again: triggerRarely, note: "not known: refused"},
		"reads":                 {looks: []*queue.Trigger{reads}, again: triggerEvery, note: "read by host/7; 1 window open, 2 notifications in the stream"},
		"conditions":            {looks: []*queue.Trigger{troubled}, again: triggerEvery, trouble: "directives: no such bucket"},
		"taken over":            {looks: []*queue.Trigger{reads, unread}, again: triggerEvery, note: "no replica says"},
		"gone":                  {looks: []*queue.Trigger{reads, idle, idle}, again: triggerEvery, trouble: "since 2"},
		"back":                  {looks: []*queue.Trigger{reads, idle, idle, reads}, again: triggerEvery, note: "read by host/7"},
		"never heard, waits":    {looks: []*queue.Trigger{unread, unread}, again: triggerEvery, trouble: "reads notifications; 1 notification in the stream"},
		"never heard, no waits": {looks: []*queue.Trigger{idle, idle}, again: triggerEvery, note: "no replica says"},
	} {
		var w triggerWatch
		var again time.Duration
		for _, seen := range tt.looks {
			again = w.take(seen, tt.err)
		}
		got := w.check().Probe()
		if again != tt.again || (got == nil) != (tt.trouble == "") || got != nil && !strings.Contains(got.Error(), tt.trouble) {
			t.Errorf("%s: again after %s, want %s; trouble %v, want %q", name, again, tt.again, got, tt.trouble)
		}
		if note := w.check().Note(); got == nil && !strings.Contains(note, tt.note) {
			t.Errorf("%s: note %q, want %q", name, note, tt.note)
		}
	}
}
