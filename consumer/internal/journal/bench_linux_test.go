package journal

import "testing"

// A request costs an entry and a mark.
func BenchmarkJournal(b *testing.B) {
	j, err := Open(b.TempDir(), "ledger", 8)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = j.Close(false) }()
	b.ReportAllocs()
	for b.Loop() {
		e := j.Begin("ABCDEFGHIJKLMNOPQRSTUVWXYZ billing inv-2026-11-23-0007")
		if err := e.Sent(); err != nil {
			b.Fatal(err)
		}
		e.End()
	}
}
