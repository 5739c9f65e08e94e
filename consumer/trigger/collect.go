package trigger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"backhaul/consumer/internal/reader"
	"backhaul/publisher"
	"backhaul/schemas"
)

// message has what is kept of a notification until it is acknowledged.
type message struct {
	sequence uint64
	stored   time.Time
	read     time.Time // when it was first read, by the server's clock
	reply    string    // to acknowledge its last delivery
	touched  time.Time // when the server last heard of it
	waits    int       // how many content groups have it in a window
	reason   string    // why it became a dead letter; "" otherwise
}

// collection has the notifications that were read and are not requested yet.
type collection struct {
	messages map[uint64]*message
	groups   map[Group]*group
	mostKept int      // groups from which idle ones are forgotten
	ended    []*group // groups with a window that ended
	looks    []*group // held groups that a look is due at
	holdFor  time.Duration
	changes  int // objects in all windows

	behind bool // older notifications wait to be read
	// next is when the first window may end. It may be too early, never too late.
	next time.Time

	offset time.Duration // how far the server's clock is ahead
}

func newCollection() collection {
	return collection{messages: make(map[uint64]*message), groups: make(map[Group]*group), mostKept: mostIdle}
}

// mostIdle is how many groups are kept although they have no window. A template may lead to any
// number.
const mostIdle = 50_000

// keepGroup adds a group, and forgets those without a window if there are too many. Their last
// decision is read again when it is needed.
func (c *collection) keepGroup(name Group, g *group) {
	if len(c.groups) >= c.mostKept {
		maps.DeleteFunc(c.groups, func(_ Group, g *group) bool { return g.open == nil && len(g.queue) == 0 })
		c.mostKept = max(mostIdle, 2*len(c.groups))
	}
	c.groups[name] = g
}

// now returns the server's time, as in the timestamps of messages.
func (c *collection) now() time.Time { return time.Now().Add(c.offset) }

// untilDue returns how long no window ends.
func (c *collection) untilDue() time.Duration {
	if c.next.IsZero() {
		return time.Hour
	}
	return c.next.Sub(c.now())
}

// lag is the age from which a message that is read counts as having waited.
const lag = MinQuiet / 2

// caughtUp notes whether everything that had waited was read.
func (c *collection) caughtUp(yes bool) {
	if yes && c.behind {
		c.next = c.now() // windows that waited for this may be due
	}
	c.behind = !yes
}

// endWindows ends the windows that are due.
func (c *collection) endWindows(now time.Time) {
	c.next = time.Time{}
	for _, g := range c.groups {
		ready := g.held() && len(g.queue) > 0 && !g.flying
		if g.open != nil {
			due := g.open.due(g.route.Window, c.behind)
			if due.After(now) {
				c.expect(due)
			} else {
				ready = true
			}
		}
		if !ready || g.held() && c.lookAt(g, now) {
			continue
		}
		if g.open != nil {
			g.close()
		}
		c.ended = append(c.ended, g)
	}
}

// relief is the part of what is held that ends when no more can be: 1 / relief.
const relief = 4

// endLargest ends the largest windows until the given part of what is held is in ended windows.
// Each window that ends early may cost one request more, and the largest give back the most.
// Windows in a blackout end last, because that breaks it; endLargest returns how many groups that
// concerns.
func (c *collection) endLargest() (broken int) {
	now := c.now()
	type candidate struct {
		*group
		windows []*window
		size    int
		dark    int // 1 in a blackout
	}
	var all []candidate
	for _, g := range c.groups {
		one := candidate{group: g}
		if g.isDark(now) && !g.flying {
			one.dark, one.windows = 1, g.queue[:len(g.queue):len(g.queue)]
		}
		if g.open != nil {
			one.windows = append(one.windows, g.open)
		}
		for _, w := range one.windows {
			one.size += w.size()
		}
		if len(one.windows) > 0 {
			all = append(all, one)
		}
	}
	slices.SortFunc(all, func(a, b candidate) int {
		return cmp.Or(a.dark-b.dark, b.size-a.size, cmp.Compare(a.windows[0].first, b.windows[0].first))
	})
	left := make(map[*message]int)
	done, freed := 0, 0 // messages of which all windows have ended, and objects
	for _, g := range all {
		if done*relief >= len(c.messages) && freed*relief >= c.changes {
			return broken
		}
		for _, w := range g.windows {
			freed += len(w.objects)
			for _, m := range w.messages {
				if m.waits == 1 {
					done++
				} else if left[m]++; left[m] == m.waits {
					done++
				}
			}
		}
		if g.hold != nil {
			g.hold.forced = true
		}
		if g.open != nil {
			g.close()
		}
		broken += g.dark
		c.ended = append(c.ended, g.group)
	}
	c.next = time.Time{}
	return broken
}

// expect notes that a window may end at due.
func (c *collection) expect(due time.Time) {
	if c.next.IsZero() || due.Before(c.next) {
		c.next = due
	}
}

// take adds a notification to the windows that it concerns. Messages are delivered in the
// order of the stream, so a window has every message of its group from its first to its
// last. A missing delivery ends the session.
func (s *session) take(ctx context.Context, msg *nats.Msg) error {
	meta, err := msg.Metadata()
	if err != nil {
		return fmt.Errorf("message without JetStream metadata: %w", err)
	}
	again, err := s.order.Next(ctx, meta)
	if err != nil {
		return err
	}
	sequence := meta.Sequence.Stream
	if again {
		if m := s.collected.messages[sequence]; m != nil {
			m.reply, m.touched = msg.Reply, time.Now()
		} else {
			s.settle(msg.Reply, "+ACK") // an earlier acknowledgement was lost
		}
		return nil
	}
	if s.trigger.settled.has(sequence, meta.Timestamp) {
		s.settle(msg.Reply, "+ACK") // its acknowledgement was lost, or is on its way
		s.collected.caughtUp(meta.NumPending == 0)
		return nil
	}
	now := time.Now()
	s.collected.offset = max(s.collected.offset, meta.Timestamp.Sub(now))
	m := &message{sequence: sequence, stored: meta.Timestamp, read: now.Add(s.collected.offset), reply: msg.Reply, touched: now}
	changes, err := Decode(schemas.Header(msg.Header), msg.Data)
	if err != nil {
		if err := s.setAside(ctx, msg, m, err); err != nil {
			return err
		}
	}
	for i := range changes {
		changes[i].From(msg.Subject)
	}
	if err := s.keepUnrouted(ctx, msg, m, changes); err != nil {
		return err
	}
	for g, c := range s.concerns(changes) {
		if err := s.collect(ctx, m, g, c); err != nil {
			return err
		}
	}
	s.collected.caughtUp(meta.NumPending == 0 || m.read.Sub(m.stored) < lag)
	if m.waits == 0 {
		s.release(m)
		return nil
	}
	s.collected.messages[sequence] = m
	s.relieve()
	return nil
}

// relieve ends windows if the server delivers no more before some notifications are
// acknowledged, or if nothing more is pulled because too much is held.
func (s *session) relieve() {
	full := len(s.collected.messages) >= s.maxPending && s.maxPending > 0 || s.collected.changes >= maxHeld
	if full && len(s.collected.ended) == 0 && s.flights.flying == 0 && !s.collected.force() {
		if broken := s.collected.endLargest(); broken > 0 {
			s.trigger.log.Warn().Int("contentGroups", broken).Int("notifications", len(s.collected.messages)).
				Msg("no more notifications can be held: requesting backups in a blackout")
		}
	}
}

// concerns returns the changes by the content groups that they concern.
func (s *session) concerns(changes []Change) map[Group]*concern {
	if len(changes) == 0 {
		return nil
	}
	all := make(map[Group]*concern, 1)
	say := func(r *Route, c Change, counts bool) {
		g := r.Group()
		if all[g] == nil {
			all[g] = &concern{route: r}
		}
		all[g].changes = append(all[g].changes, held{Change: r.read(c), route: r, counts: counts})
	}
	for _, c := range changes {
		routes, reason := s.routes.Match(c)
		s.trigger.observe.Change(c.Format, reason)
		if s.routes.isUnrouted(c, reason) {
			s.trigger.unrouted.note(c)
		}
		for i, r := range routes {
			if !c.Tree && slices.ContainsFunc(routes[:i], func(other *Route) bool { return r.says(c, other) }) {
				continue // it is one object
			}
			say(r, c, true)
		}
		for _, r := range s.routes.Holders(c) {
			if !slices.ContainsFunc(routes, func(other *Route) bool { return other.Group() == r.Group() }) {
				say(r, c, false)
			}
		}
	}
	return all
}

// collect adds the changes of a message to the windows of one content group, unless the
// group's last decision covers the message.
func (s *session) collect(ctx context.Context, m *message, name Group, c *concern) error {
	g := s.collected.groups[name]
	if g == nil {
		g = &group{route: c.route, name: name.key()}
		ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
		defer cancel()
		var err error
		if g.position, g.sequence, err = s.trigger.decisions.read(ask, g.name); err != nil {
			return err
		}
		g.hold = newHold(c.route, s.routes.Source, &g.position)
		if by := g.position.Routes; by != "" && by != s.routes.mark {
			g.position = decision{} // a decision by other routes covers nothing
		}
		s.collected.keepGroup(name, g)
	}
	if g.position.covers(m) {
		return s.confirm(ctx, g)
	}
	if m.sequence <= g.last() {
		// Cannot happen: messages are read in the order of the stream.
		return fmt.Errorf("trigger: message %d of content group %s was read after message %d", m.sequence, g.name, g.last())
	}
	before, queued := g.size(), len(g.queue)
	if g.add(m, c) {
		m.waits++
	}
	s.collected.changes += g.size() - before
	if len(g.queue) > queued {
		s.collected.ended = append(s.collected.ended, g)
	}
	if g.open != nil && !g.waits(s.collected.now()) {
		s.collected.expect(g.open.due(g.route.Window, s.collected.behind))
	}
	return nil
}

// confirm makes sure that the request of the group's last decision is in its stream: the
// replica that decided may have ended before it published the request.
func (s *session) confirm(ctx context.Context, g *group) error {
	if g.confirmed {
		return nil
	}
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	if err := s.request(ask, g.position); err != nil {
		return err
	}
	g.confirmed = true
	if req := g.position.Request; req != nil {
		s.trigger.log.Info().Str("requestId", req.RequestID).Str("contentGroup", g.route.Group().String()).
			Msg("request of an earlier reader published again")
	}
	return nil
}

// setAside publishes a dead letter of a notification that cannot be decoded, fully or in part.
func (s *session) setAside(ctx context.Context, msg *nats.Msg, m *message, why error) error {
	decode, _ := errors.AsType[*DecodeError](why)
	if err := s.keepLetter(ctx, msg, m, schemas.CodeInvalidRequest, why.Error()); err != nil {
		return err
	}
	s.trigger.observe.Refused(decode != nil && decode.Unknown)
	s.trigger.log.Warn().Uint64("sequence", m.sequence).Str("subject", msg.Subject).Err(why).Msg("notification set aside")
	return nil
}

// keepLetter publishes a dead letter of a notification.
func (s *session) keepLetter(ctx context.Context, msg *nats.Msg, m *message, code, reason string) error {
	m.reason = reason
	deadLetter := publisher.DeadLetter{
		Subject: msg.Subject, Header: schemas.Header(msg.Header), Data: msg.Data,
		Key:    publisher.Key{Source: s.routes.Source},
		Stream: publisher.StorageStream, Sequence: m.sequence, Time: m.stored,
		Code: code, Reason: reason,
	}
	ask, cancel := context.WithTimeout(ctx, reader.AskTimeout)
	defer cancel()
	return s.trigger.pub.DeadLetter(ask, deadLetter)
}

// release settles a message unless another window has it.
func (s *session) release(m *message) {
	if m.waits--; m.waits > 0 {
		return
	}
	delete(s.collected.messages, m.sequence)
	s.trigger.settled.add(m.sequence, m.stored)
	if m.reason != "" {
		s.settle(m.reply, "+TERM "+oneLine(m.reason))
		return
	}
	s.settle(m.reply, "+ACK")
}

// settle answers a delivery, without a confirmation: if the answer is lost, the message is
// redelivered, and then covered by a decision.
func (s *session) settle(reply, verb string) { _ = s.trigger.nc.Publish(reply, []byte(verb)) }

// progress keeps the server from redelivering the messages that wait in windows.
func (s *session) progress() {
	now := time.Now()
	for _, m := range s.collected.messages {
		if now.Sub(m.touched) >= s.ackWait/2 {
			m.touched = now
			s.settle(m.reply, "+WPI")
		}
	}
}

// oneLine returns the beginning of a text without control characters.
func oneLine(text string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' {
			return ' '
		}
		return c
	}, text[:min(len(text), 512)])
}
