package natsconn

import "testing"

func TestSubjects(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pattern, subject string
		covers, overlaps bool
	}{
		{"a.>", "a.b.>", true, true}, {"a.>", "a", false, false}, {">", "a.*", true, true}, {"a.*", "a.b", true, true},
		{"a.*", "a.>", false, true}, {"a.b", "a.*", false, true}, {"a.b", "a.b", true, true}, {"a.b", "a.c", false, false},
		{"a.b.c", "a.b", false, false}, {"a.*.c", "a.b.*", false, true}, {"a", "a.b", false, false}, {"a.b.>", "a.>", false, true},
	} {
		if got := covers(test.pattern, test.subject); got != test.covers {
			t.Errorf("%s covers %s: %v", test.pattern, test.subject, got)
		}
		if got := overlaps(test.pattern, test.subject); got != test.overlaps || got != overlaps(test.subject, test.pattern) {
			t.Errorf("%s overlaps %s: %v", test.pattern, test.subject, got)
		}
	}
}
