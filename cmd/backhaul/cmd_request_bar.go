package main

import (
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"

	"backhaul/cmd/internal/batch"
)

// barInterval is how often the bar is drawn.
const barInterval = 100 * time.Millisecond

// requestBar is the progress bar. Its methods do nothing without one.
type requestBar struct {
	bar *progressbar.ProgressBar
	// shared: the lines of standard output go to the same terminal.
	shared bool
}

func newRequestBar(w io.Writer, shared bool, b batch.Batch) *requestBar {
	bar := progressbar.NewOptions(len(b.Requests), progressbar.OptionSetWriter(w), progressbar.OptionThrottle(barInterval),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("requests"),
		progressbar.OptionSetWidth(20), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish())
	return &requestBar{bar: bar, shared: shared}
}

func (b *requestBar) show(s batch.Summary) {
	if b == nil {
		return
	}
	done := s.Requests - s.NotSent
	text := fmt.Sprintf("%d sent", s.Sent)
	if s.Known > 0 {
		text += fmt.Sprintf(", %d known", s.Known)
	}
	if o := s.Outcomes; o != nil {
		done = s.Requests - o.None
		if bad := o.FailedTotal() + o.Rejected; bad > 0 {
			text += fmt.Sprintf(", %d failed", bad)
		}
	}
	if e := s.Ends; e != nil {
		done = s.Requests - e.None
		if bad := e.NotKept(); bad > 0 {
			text += fmt.Sprintf(", %d not kept", bad)
		}
	}
	b.bar.Describe(text)
	_ = b.bar.Set(done) // it is for people only
}

// clear wipes the bar away before a line on standard error.
func (b *requestBar) clear() {
	if b != nil {
		_ = b.bar.Clear()
	}
}

// makeRoom does so before a line on standard output, if need be.
func (b *requestBar) makeRoom() {
	if b != nil && b.shared {
		b.clear()
	}
}
