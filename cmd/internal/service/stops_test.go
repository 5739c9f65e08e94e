package service

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestStops_runInReverseAndLogWhatFails(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	var order []string
	s := &stops{log: zerolog.New(&log)}
	s.add("first", func() { order = append(order, "first") })
	s.addWithin("second", time.Minute, func(context.Context) error {
		order = append(order, "second")
		return errors.New("disk full")
	})
	s.add("third", func() { order = append(order, "third") })
	s.run()
	if want := []string{"third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("the order is %v, want %v", order, want)
	}
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `"stop":"second"`) || !strings.Contains(text, "disk full") {
		t.Errorf("the log is %s, want one line about the second stop", text)
	}
}

// A stop that does not return is left behind at its bound; one that ends with its context
// returns its own error.
func TestStops_areBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		s := &stops{log: zerolog.New(&log)}
		last, release := false, make(chan struct{})
		s.add("last", func() { last = true })
		s.addWithin("stuck", time.Minute, func(context.Context) error { <-release; return nil })
		s.addWithin("obedient", time.Second, func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("logout: no answer")
		})
		began := time.Now()
		s.run()
		if took := time.Since(began); took != time.Second+time.Minute+stopGrace {
			t.Errorf("the stops took %s, want the sum of their bounds", took)
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if !last || len(lines) != 2 || !strings.Contains(lines[0], "logout: no answer") || !strings.Contains(lines[1], `"stop":"stuck"`) || !strings.Contains(lines[1], "1m1s") {
			t.Errorf("the last one ran: %t; the log is %s", last, log.String())
		}
		close(release)
	})
}
