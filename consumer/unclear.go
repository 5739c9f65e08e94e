package consumer

import (
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"backhaul/consumer/internal/news"
	"backhaul/publisher"
)

// unclear keeps the last request that was sent several times without a clear
// answer. Each time it was looked for through the visibility window and not found.
// One lost answer is the network; the same again and again is an answer that
// cannot be read, or something that swallows it, and an operator has to look.
type unclear struct {
	log zerolog.Logger
	// shown is for how long one is kept that another replica may have taken over.
	shown   time.Duration
	trouble news.Teller

	mu   sync.Mutex
	last *unclearRequest
}

type unclearRequest struct {
	key publisher.Key
	at  time.Time
	err error
}

// note logs a request that was sent more than once without a clear answer, the
// last one being err, and keeps it.
func (u *unclear) note(req *request, sent int, err error) {
	u.mu.Lock()
	u.last = &unclearRequest{key: req.key, at: time.Now(), err: err}
	u.mu.Unlock()
	if u.trouble.Changed(err) {
		req.traced(u.log.Warn()).Err(err).Str("source", req.key.Source).Str("requestId", req.RequestID).Int("sent", sent).
			Msg("the vendor's answers to a request are unclear again and again, and no job of it is found")
	}
}

// settled forgets a request that has its outcome.
func (u *unclear) settled(key publisher.Key) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last != nil && u.last.key == key {
		u.last = nil
	}
}

// Unclear returns an error that names the last request whose answers from the
// vendor are unclear again and again, nil if there is none.
func (c *Consumer) Unclear() error {
	u := &c.handler.unclear
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil || time.Since(u.last.at) > u.shown {
		return nil
	}
	return fmt.Errorf("request %s was sent several times without a clear answer, and no job of it is found: %w", u.last.key, u.last.err)
}
