package consumer

import (
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/logonce"
	"backhaul/publisher"
)

// unclear has the last request that was sent several times without a clear answer. Each time
// its job was looked up during the visibility window and not found. A single lost answer is
// a fault of the network. Repeated ones mean that the answer cannot be read or is lost on its
// way, and an operator must find out why.
type unclear struct {
	log zerolog.Logger
	// shown is how long the request is kept, because another replica may have taken it
	// over.
	shown   time.Duration
	trouble logonce.Last

	mu   sync.Mutex
	last *unclearRequest
}

type unclearRequest struct {
	key publisher.Key
	at  time.Time
	err error
}

// note logs and keeps a request that was sent several times without a clear answer. err is the
// last answer.
func (u *unclear) note(req *request, sent int, err error) {
	u.mu.Lock()
	u.last = &unclearRequest{key: req.key, at: time.Now(), err: err}
	u.mu.Unlock()
	if u.trouble.Changed(err) {
		req.traced(u.log.Warn()).Err(err).Str("source", req.key.Source).Str("requestId", req.RequestID).Int("sent", sent).
			Msg("the vendor's answers to a request are unclear again and again, and no job of it is found")
	}
}

// settled removes a request that has its outcome.
func (u *unclear) settled(key publisher.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last != nil && u.last.key == key {
		u.last = nil
	}
}

// Unclear returns an error that names the last request that was sent several times without a
// clear answer, nil if there is none.
func (c *Consumer) Unclear() error {
	u := &c.handler.unclear
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil || time.Since(u.last.at) > u.shown {
		return nil
	}
	return fmt.Errorf("request %s was sent several times without a clear answer, and its job was not found: %w", u.last.key, u.last.err)
}
