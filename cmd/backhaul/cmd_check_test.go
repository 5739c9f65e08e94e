package main

import (
	"strings"
	"testing"

	"backhaul/cmd/internal/doctor"
)

// One finding of a level is counted in the singular.
func TestPrintFindings_counts(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := printFindings(&out, outputTable, []doctor.Finding{{Level: doctor.OK}, {Level: doctor.Note}, {Level: doctor.Note}, {Level: doctor.Warning}})
	if err != nil || !strings.HasSuffix(out.String(), "1 ok, 2 notes, 1 warning, 0 errors\n") {
		t.Errorf("got %q, %v", out.String(), err)
	}
}
