package publisher

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/schemas"
)

// RequestMsg returns the message of a backup request. It has no message id made of the
// request id: JetStream compares message ids across all subjects of a stream, so another
// source could publish under it first, and this request would not be stored. The
// service recognises the same request by its id.
func RequestMsg(source string, p Priority, req schemas.BackupRequest) (*nats.Msg, error) {
	if err := CheckSource(source); err != nil {
		return nil, err
	}
	return &nats.Msg{Subject: RequestSubject(source, p), Header: nats.Header{}, Data: req.JSON()}, nil
}

// Request publishes a backup request for a source with normal priority, in one attempt.
func (p *Publisher) Request(ctx context.Context, source string, req schemas.BackupRequest) (*jetstream.PubAck, error) {
	msg, err := RequestMsg(source, Normal, req)
	if err != nil {
		return nil, err
	}
	ack, err := p.js.PublishMsg(ctx, msg)
	if err != nil {
		return nil, fmt.Errorf("publish request on %s: %w", msg.Subject, err)
	}
	return ack, nil
}

// SentRequest is a request on its way to the stream.
type SentRequest struct {
	p      *Publisher
	msg    *nats.Msg
	future jetstream.PubAckFuture // nil when err says that nothing was sent
	err    error
	before error // the connection's last error before it was sent
}

// deniedWait is how often a publication without an acknowledgement is looked up among
// what is not permitted, which the server reports apart from acknowledgements.
const deniedWait = 250 * time.Millisecond

// Send publishes a request, which must have an id, without waiting for the
// acknowledgement: [SentRequest.Acked] does. Many may be on their way at once.
func (p *Publisher) Send(source string, priority Priority, req schemas.BackupRequest) (*SentRequest, error) {
	msg, err := RequestMsg(source, priority, req)
	if err != nil {
		return nil, err
	}
	if req.RequestID == "" {
		return nil, errors.New("a request without an id cannot be repeated")
	}
	// The message id is unpredictable: what JetStream drops under it is a copy of this
	// very message, sent again after a lost acknowledgement.
	msg.Header.Set(nats.MsgIdHdr, rand.Text())
	s := &SentRequest{p: p, msg: msg, before: p.js.Conn().LastError()}
	s.future, s.err = p.js.PublishMsgAsync(msg)
	return s, nil
}

// Acked waits until the stream has the request. A publication without a clear answer is
// repeated under the same message id until ctx ends; the error then says that it is
// not known whether the request was stored.
func (s *SentRequest) Acked(ctx context.Context) (*jetstream.PubAck, error) {
	tick := time.NewTicker(deniedWait)
	defer tick.Stop()
	var last error
	for refused := 0; ; {
		if s.err == nil {
			select {
			case ack := <-s.future.Ok():
				s.p.tell(s.msg.Subject, nil)
				return ack, nil
			case s.err = <-s.future.Err():
			case <-tick.C:
				if err := s.denied(); err != nil {
					return nil, err
				}
				continue
			case <-ctx.Done():
			}
		}
		if s.err != nil {
			last = s.err
			s.p.tell(s.msg.Subject, s.err)
		}
		if refuses(s.err) {
			refused++
		}
		if permanent(s.err) {
			return nil, fmt.Errorf("publish request on %s: %w", s.msg.Subject, s.err)
		}
		if err := s.denied(); err != nil {
			return nil, err
		}
		if err := pause(ctx, refused); err != nil {
			if last != nil {
				err = fmt.Errorf("%w; %w", last, err)
			}
			return nil, fmt.Errorf("publish request on %s: not confirmed: %w", s.msg.Subject, err)
		}
		s.future, s.err = s.p.js.PublishMsgAsync(s.msg)
	}
}

// denied returns an error if this publication is not permitted.
func (s *SentRequest) denied() error {
	err := Denied(s.p.js.Conn(), s.msg.Subject)
	if err == nil || err == s.before { //nolint:errorlint // the very same error is about an earlier one
		return nil
	}
	return fmt.Errorf("publish request on %s: %w", s.msg.Subject, err)
}

// Denied is the connection's last error if it says that publishing to a subject
// with this prefix is not permitted. What is denied is answered by silence.
func Denied(nc *nats.Conn, prefix string) error {
	err := nc.LastError()
	if errors.Is(err, nats.ErrPermissionViolation) && strings.Contains(err.Error(), `"`+prefix) {
		return err
	}
	return nil
}
