package publisher_test

import (
	"errors"
	"testing"

	"backhaul/publisher"
	"backhaul/publisher/natstest"
)

// A digest is written where none is, or over the one that the writer knows.
func TestDigest(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t)
	nc := s.Connect(t)
	js, pub := natstest.JetStream(t, nc), newPublisher(t, nc)
	if _, _, err := publisher.LastDigest(t.Context(), js, 7); !errors.Is(err, publisher.ErrNoDigest) {
		t.Errorf("before it is written: %v", err)
	}
	first, err := pub.AppendDigest(t.Context(), 7, 0, []byte("one"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pub.AppendDigest(t.Context(), 7, 0, []byte("two")); !errors.Is(err, publisher.ErrConflict) {
		t.Errorf("over one that is not known: %v", err)
	}
	if _, err := pub.AppendDigest(t.Context(), 7, first, []byte("three")); err != nil {
		t.Error(err)
	}
	if data, sequence, err := publisher.LastDigest(t.Context(), js, 7); err != nil || string(data) != "three" || sequence != first+1 {
		t.Errorf("got %q, %d, %v", data, sequence, err)
	}
	if n := len(stored(t, s, publisher.DigestStream, publisher.AnyDigest)); n != 1 {
		t.Errorf("%d are kept", n)
	}
	if err := js.DeleteStream(t.Context(), publisher.DigestStream); err != nil {
		t.Fatal(err)
	}
	if _, _, err := publisher.LastDigest(t.Context(), js, 7); !errors.Is(err, publisher.ErrNoDigests) {
		t.Errorf("without the stream: %v", err)
	}
}
