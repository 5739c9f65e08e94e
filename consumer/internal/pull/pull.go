// Package pull speaks JetStream's protocol for pulling messages from a durable consumer.
//
// It does not use Fetch or Consume of nats.go, because they take the headers of a message for
// the server's. Each delivery of a message with an empty body and a Status header ends the
// pull and loses the other messages of it. A message with a Nats-Pin-Id header makes every
// later pull fail. Consume can also lose a wake-up and stop for half a minute (nats.go
// 1.55.0).
package pull

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// AckPrefix is the prefix of the reply subject of every delivered message, and of no other
// answer to a pull.
const AckPrefix = "$JS.ACK."

// Pulls are the open pulls of one subscription. They belong to one goroutine.
type Pulls struct {
	Incoming chan *nats.Msg // to be passed to Heard
	Asked    int            // messages that open pulls may still bring
	HeardAt  time.Time      // of the last answer, or of the last pull

	nc          *nats.Conn
	next, inbox string
}

// New returns pulls from a durable consumer, with a buffer for size answers.
func New(nc *nats.Conn, stream, consumer string, size int) *Pulls {
	return &Pulls{Incoming: make(chan *nats.Msg, size), nc: nc, next: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer, inbox: nc.NewInbox()}
}

// Subscribe subscribes to the answers.
func (p *Pulls) Subscribe() (*nats.Subscription, error) {
	return p.nc.ChanSubscribe(p.inbox+".*", p.Incoming)
}

// Ask opens a pull for n messages, with the options in JSON. The reply subject has n, because
// the answer without responders does not.
func (p *Pulls) Ask(n int, options string) error {
	if err := p.nc.PublishRequest(p.next, p.inbox+"."+strconv.Itoa(n), fmt.Appendf(nil, `{"batch":%d,%s}`, n, options)); err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	p.Asked, p.HeardAt = p.Asked+n, time.Now()
	return nil
}

// Silent reports whether the server has been silent for d about an open pull.
func (p *Pulls) Silent(d time.Duration) bool { return p.Asked > 0 && time.Since(p.HeardAt) >= d }

// Answer is what an answer to a pull is.
type Answer int

const (
	Message   Answer = iota // a message of the stream
	Heartbeat               // the server has nothing to deliver
	Ended                   // a pull has ended, with or without an error
)

// Heard counts an answer. The error is why a pull has failed.
func (p *Pulls) Heard(msg *nats.Msg) (Answer, error) {
	p.HeardAt = time.Now()
	if strings.HasPrefix(msg.Reply, AckPrefix) {
		p.Asked = max(0, p.Asked-1)
		return Message, nil
	}
	status, text := msg.Header.Get("Status"), msg.Header.Get("Description")
	left, err := strconv.Atoi(msg.Header.Get("Nats-Pending-Messages"))
	switch {
	case status == "100":
		return Heartbeat, nil
	case status == "503":
		n, _ := strconv.Atoi(msg.Subject[strings.LastIndexByte(msg.Subject, '.')+1:])
		p.Asked = max(0, p.Asked-n)
		return Ended, nats.ErrNoResponders
	case err == nil:
		p.Asked = max(0, p.Asked-left)
	default: // the consumer has another leader or is gone, and every open pull with it
		p.Asked = 0
	}
	if status == "404" || status == "408" || text == "Message Size Exceeds MaxBytes" || text == "Batch Completed" {
		return Ended, nil
	}
	return Ended, fmt.Errorf("pull: %s %s", status, text)
}

// Connected returns an error while there is no connection. The client's own error of a question
// then is about a buffer.
func Connected(nc *nats.Conn) error {
	if status := nc.Status(); status != nats.CONNECTED {
		return fmt.Errorf("NATS is not connected: %s", status)
	}
	return nil
}
