package deadletter

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"backhaul/publisher"
)

func TestBoxPage_readsHeadersOfOneSource(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if deadLetters, older, err := d.Page(t.Context(), "", 0, 10); err != nil || len(deadLetters) != 0 || older != 0 {
		t.Errorf("empty stream: %v, %d, %v", deadLetters, older, err)
	}
	for i := range 25 {
		d.keep(func(l *publisher.DeadLetter) {
			id := fmt.Sprint("d", i)
			l.Subject = "backup.request." + []string{"billing", "photos"}[i%2]
			l.Key, l.RequestID, l.Reason = publisher.NewKey([]string{"billing", "photos"}[i%2], id), id, "größer 100 %"
		})
	}
	var seen []string
	for before := uint64(0); ; {
		deadLetters, older, err := d.Page(t.Context(), "photos", before, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range deadLetters {
			seen = append(seen, l.RequestID)
			if l.Key.Source != "photos" || l.Code != "587207178" || l.Reason != "größer 100 %" || l.Kept.IsZero() || l.Data != nil || l.Invalid != nil {
				t.Errorf("got %+v", l)
			}
		}
		if older == 0 {
			break
		}
		before = older
	}
	page, _, err := d.Page(t.Context(), "photos", 0, 10)
	if err != nil || len(page) == 0 || page[0].Request.ClientName != "" {
		t.Fatalf("%+v, %v", page, err)
	}
	page = append(page, Message{Number: 4711})
	if err := d.AddRequests(t.Context(), page); err != nil {
		t.Error(err)
	}
	for _, l := range page {
		if known := l.Number != 4711; (l.Request.SubclientName == "home") != known || l.Data != nil {
			t.Errorf("dead letter %d has the request %+v", l.Number, l.Request)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.AddRequests(ctx, page); err == nil {
		t.Error("read without a context")
	}
	if got, want := strings.Join(seen, " "), "d23 d21 d19 d17 d15 d13 d11 d9 d7 d5 d3 d1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOfKey_findsThoseOfTheIDAndOfTheSequence(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	stored := time.Now().UTC()
	first := d.keep()
	d.keep(func(l *publisher.DeadLetter) { l.Key = publisher.NewKey("billing", "another") })
	second := d.keep(func(l *publisher.DeadLetter) { l.Sequence, l.Time = 7, stored })
	for key, want := range map[publisher.Key]string{
		publisher.NewKey("billing", "inv-7"):           fmt.Sprint([]uint64{first, second}),
		publisher.SequenceKey("billing", 7, stored):    fmt.Sprint([]uint64{second}),
		publisher.EarlierSequenceKey("billing", 7):     fmt.Sprint([]uint64{second}),
		publisher.NewKey("photos", "inv-7"):            "[]",
		publisher.NewKey("billing", "no such request"): "[]",
	} {
		deadLetters, err := OfKey(t.Context(), d.js, key)
		got := []uint64{}
		for _, l := range deadLetters {
			got = append(got, l.Number)
		}
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s has %v, %v, want %s", key, got, err, want)
		}
	}
	if err := d.js.DeleteStream(t.Context(), publisher.DeadLetterStream); err != nil {
		t.Fatal(err)
	}
	if deadLetters, err := OfKey(t.Context(), d.js, publisher.NewKey("billing", "inv-7")); err != nil || len(deadLetters) != 0 {
		t.Errorf("without a stream: %v, %v", deadLetters, err)
	}
}
