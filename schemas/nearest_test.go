package schemas

import (
	"slices"
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"id", "allow", "labels", "clientName", "onDemandInputFile", "store-dir"}
	for name, want := range map[string]string{
		"alow": "allow", "lables": "labels", "di": "id", "allwo": "allow", "Client_Name": "clientName", "on-demand-inputfile": "onDemandInputFile",
		"onDemmandImputFil": "onDemandInputFile", "storedir": "store-dir", "identity": "", "lab": "", "": "", "--": "", "zzzzzz": "",
	} {
		if got := Nearest(name, known); got != want {
			t.Errorf("%.30q: got %q, want %q", name, got, want)
		}
	}
	// Were every distance measured, this would take hours.
	if got := Nearest(strings.Repeat("x", 1<<20), slices.Repeat(known, 2000)); got != "" {
		t.Errorf("a long name: got %q", got)
	}
	if got := Nearest("anything", nil); got != "" {
		t.Errorf("nothing is known, got %q", got)
	}
}
