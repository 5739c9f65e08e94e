package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/provision"
	"backhaul/consumer"
	"backhaul/publisher"
)

// NATS checks the server behind a connection, and the streams.
func NATS(ctx context.Context, nc *nats.Conn, js jetstream.JetStream) []Finding {
	d := &natsDoctor{nc: nc, js: js}
	restore := d.listen()
	defer restore()
	var all []Finding
	for _, check := range []func(context.Context) []Finding{
		d.server, d.jetStream, d.storage, d.streams, d.ledger, d.following, d.archiving, d.trigger, d.pause, d.scopes, d.clock, d.permissions,
	} {
		all = append(all, check(ctx)...)
	}
	return all
}

// natsDoctor asks the server, one question at a time.
type natsDoctor struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	refused chan error
}

// patience is how long one question may take.
const patience = 5 * time.Second

// listen records permission violations. The server does not answer a refused question;
// it reports the violation separately.
func (d *natsDoctor) listen() (restore func()) {
	d.refused = make(chan error, 1)
	before := d.nc.ErrorHandler()
	d.nc.SetErrorHandler(func(nc *nats.Conn, sub *nats.Subscription, err error) {
		if !errors.Is(err, nats.ErrPermissionViolation) {
			if before != nil {
				before(nc, sub, err)
			}
			return
		}
		select {
		case d.refused <- err:
		default:
		}
	})
	return func() { d.nc.SetErrorHandler(before) }
}

// ask makes one call. A permission violation ends it at once and is its error.
func (d *natsDoctor) ask(ctx context.Context, question func(context.Context) error) error {
	select {
	case <-d.refused: // an answer to an earlier question
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answered := make(chan error, 1)
	go func() { answered <- question(ctx) }()
	select {
	case err := <-answered:
		return err
	case err := <-d.refused:
		cancel()
		<-answered
		return err
	}
}

// server checks what the server said when it was connected to.
func (d *natsDoctor) server(context.Context) []Finding {
	version := d.nc.ConnectedServerVersion()
	where := fmt.Sprintf("%s, nats-server %s", d.nc.ConnectedUrlRedacted(), version)
	if cluster := d.nc.ConnectedClusterName(); cluster != "" {
		where += ", cluster " + cluster
	}
	const check = "nats server"
	all := []Finding{ok(check, "%s, max_payload %d", where, d.nc.MaxPayload())}
	switch major, minor := versionOf(version); {
	case major < 2 || major == 2 && minor < 10:
		all[0] = finding(Error, check, where+": too old, it does not report its time", "use nats-server 2.11 or later")
	case major == 2 && minor < 11:
		all[0] = finding(Warning, check, where+": it cannot pause a consumer", "use nats-server 2.11 or later; until then each replica handles a vendor's pause by itself, and `backhaul pause` fails")
	}
	return append(all, finding(Note, "nats sync_interval", "cannot be seen by a client",
		"a server that is not in a cluster of three should run with `jetstream { sync_interval: always }`, or a power failure can take accepted requests with it; the embedded server does"))
}

func versionOf(version string) (major, minor int) {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return 0, 0
	}
	major, _ = strconv.Atoi(parts[0])
	minor, _ = strconv.Atoi(parts[1])
	return major, minor
}

const enableJetStream = "enable JetStream: `jetstream {}` in the server's configuration, and `jetstream: enabled` for the account of this user"

// jetStream checks that there is JetStream, and room in it.
func (d *natsDoctor) jetStream(ctx context.Context) []Finding {
	const check = "jetstream"
	var info *jetstream.AccountInfo
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		info, err = d.js.AccountInfo(ctx)
		return err
	})
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return []Finding{finding(Note, check, "the limits of the account cannot be known: this user may not ask for $JS.API.INFO", "")}
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount):
		return []Finding{finding(Error, check, err.Error(), enableJetStream)}
	case err != nil:
		return []Finding{Unreachable(check, err, "see whether the cluster has a leader: `nats server report jetstream`")}
	}
	for name, usage := range map[string]struct {
		used  uint64
		limit int64
	}{
		"store":   {info.Store, info.Limits.MaxStore},
		"streams": {uint64(max(info.Streams, 0)), int64(info.Limits.MaxStreams)},
	} {
		if usage.limit > 0 && usage.used >= uint64(usage.limit)/10*9 {
			level := Warning
			if usage.used >= uint64(usage.limit) {
				level = Error
			}
			return []Finding{finding(level, check, fmt.Sprintf("the account has used %d of %d (%s)", usage.used, usage.limit, name),
				"raise the account's limit: when it is reached, requests are refused and outcomes cannot be recorded")}
		}
	}
	return []Finding{ok(check, "enabled, %d streams, %d bytes stored", info.Streams, info.Store)}
}

// storage checks that the server stores messages, by writing the ledger's mark again as it is.
// No other message shows it: a client cannot ask for the limits of a server, and a write that
// is refused for another reason says nothing about them.
func (d *natsDoctor) storage(ctx context.Context) []Finding {
	const check = "storage"
	err := d.ask(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, patience/2)
		defer cancel()
		marks, err := d.js.Stream(ctx, publisher.MarkStream)
		if err != nil {
			return nil // said by ledger
		}
		mark, sequence, err := publisher.ReadMark(ctx, marks)
		if err != nil {
			return nil
		}
		pub, err := publisher.New(d.nc)
		if err != nil {
			return err
		}
		_, err = pub.RecordMark(ctx, sequence, mark)
		return err
	})
	switch {
	case publisher.StorageUsedUp(err):
		return []Finding{finding(Error, check, "no stream takes messages: "+err.Error(), publisher.StorageHint+"; until then requests are refused and outcomes cannot be recorded")}
	case err != nil:
		return nil // another replica wrote first, this user may not write, or the others say it
	}
	return []Finding{ok(check, "the server stores messages")}
}

// streams compares the streams and the consumer with the shipped definitions.
func (d *natsDoctor) streams(ctx context.Context) []Finding {
	var existing []provision.Existing
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		existing, err = provision.Compare(ctx, d.js)
		return err
	})
	var all []Finding
	for _, one := range existing {
		all = append(all, d.existing(ctx, one, d.wayToMake(ctx, one))...)
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		all = append(all, finding(Error, "streams", "not permitted: "+err.Error(), "grant what deploy/nats/roles.conf lists for BACKHAUL_ROLE"))
	case errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, nats.ErrNoResponders):
		all = append(all, Unreachable("streams", err, enableJetStream+"; where it is enabled, see whether the cluster has a leader: `nats server report jetstream`"))
	case err != nil:
		all = append(all, Unreachable("streams", err, "see whether the stream has a leader: `nats stream report`"))
	}
	return all
}

// wayToMake returns what to do about a missing stream or consumer of the service.
func (d *natsDoctor) wayToMake(ctx context.Context, one provision.Existing) string {
	if one.Missing && one.Name == "stream "+publisher.EventsStream && d.gone(ctx) != nil {
		return "there was a ledger: do as `ledger` says"
	}
	if !one.Missing {
		return ""
	}
	kind, name, _ := strings.Cut(one.Name, " ")
	create := "$JS.API." + strings.ToUpper(kind) + ".CREATE." + strings.ReplaceAll(name, "/", ".")
	if name == publisher.EventsStream+"/"+publisher.FollowerConsumer {
		create += ".>" // the filter of the consumer
	}
	if publish, err := d.mayPublish(ctx); err == nil && publish != nil && !publish.Allows(create) {
		return "run `backhaul setup` as the provisioner of deploy/nats/roles.conf: this user may not make it"
	}
	return "`backhaul setup` makes it, and `backhaul run` does unless --provision=false"
}

// gone returns an error if the events stream is missing although there was a ledger.
func (d *natsDoctor) gone(ctx context.Context) (why error) {
	_ = d.ask(ctx, func(ctx context.Context) error {
		why = consumer.Gone(ctx, d.js)
		return nil
	})
	return why
}

// ledger checks that the events stream is the ledger that the service knows.
func (d *natsDoctor) ledger(ctx context.Context) []Finding {
	const check = "ledger"
	if gone := d.gone(ctx); gone != nil {
		what, fix, _ := strings.Cut(gone.Error(), ": ")
		return []Finding{finding(Error, check, what+"; nothing is claimed", fix)}
	}
	var why error
	var unmarked bool
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		if _, err = d.js.Stream(ctx, publisher.MarkStream); err == nil {
			why, err = consumer.Differs(ctx, d.js)
		} else {
			unmarked = errors.Is(err, jetstream.ErrStreamNotFound)
		}
		return err
	})
	switch {
	case unmarked:
		if found := d.overlaps(ctx, "stream "+publisher.MarkStream); len(found) > 0 {
			return []Finding{finding(Warning, check, "stream "+publisher.MarkStream+" does not exist and cannot be made: "+found[0].Reason()+"; a ledger that is lost while no replica runs is not noticed", found[0].Fix())}
		}
		return []Finding{finding(Warning, check, "stream "+publisher.MarkStream+" does not exist: a ledger that is lost while no replica runs is not noticed",
			"`backhaul setup` makes it, and `backhaul run` does unless --provision=false")}
	case errors.Is(err, nats.ErrPermissionViolation):
		return []Finding{finding(Warning, check, "what is known of it cannot be read by this user: "+err.Error(), "grant what deploy/nats/roles.conf has for "+publisher.MarkStream)}
	case err != nil:
		return nil // said by streams
	case why != nil:
		return []Finding{finding(Error, check, "not the one that the service knows: "+why.Error()+"; nothing is claimed",
			"`backhaul recover` puts what may be forgotten in doubt and accepts the ledger; deploy/RUNBOOK.md, BackhaulLedgerNotKnown")}
	}
	return []Finding{ok(check, "the one that the service knows")}
}

// trigger compares the streams of storage notifications, if they exist. A user of the
// service may lack the permission to read them.
func (d *natsDoctor) trigger(ctx context.Context) []Finding {
	const check = "trigger"
	var existing []provision.Existing
	err := d.ask(ctx, func(ctx context.Context) (err error) {
		existing, err = provision.CompareTrigger(ctx, d.js)
		return err
	})
	if len(existing) > 0 && existing[0].Missing {
		return nil // the trigger is not set up
	}
	var all []Finding
	for _, one := range existing {
		all = append(all, d.existing(ctx, one, "`backhaul setup --trigger` makes it, and `backhaul trigger` does unless --provision=false")...)
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		all = append(all, finding(Note, check, "what only `backhaul trigger` needs cannot be read by this user: "+err.Error(), ""))
	case err != nil && len(existing) > 0: // else it is said by streams
		all = append(all, Unreachable(check, err, "see whether the stream has a leader: `nats stream report`"))
	}
	return all
}

// overlaps returns the streams that keep a missing stream from being created.
func (d *natsDoctor) overlaps(ctx context.Context, one string) (found []provision.Overlap) {
	stream, isStream := strings.CutPrefix(one, "stream ")
	if !isStream {
		return nil
	}
	_ = d.ask(ctx, func(ctx context.Context) error {
		found = provision.Overlaps(ctx, d.js, stream)
		return nil
	})
	return found
}

func (d *natsDoctor) existing(ctx context.Context, one provision.Existing, whoMakesIt string) []Finding {
	if one.Missing {
		var all []Finding
		for _, overlap := range d.overlaps(ctx, one.Name) {
			all = append(all, finding(Error, one.Name, "does not exist and cannot be made: "+overlap.Reason(), overlap.Fix()))
		}
		if len(all) == 0 {
			all = append(all, finding(Error, one.Name, "does not exist", whoMakesIt))
		}
		return all
	}
	var all []Finding
	for _, difference := range one.Differences {
		text := strings.TrimPrefix(difference.String(), one.Name+": ")
		switch {
		case difference.Breaks:
			all = append(all, finding(Error, one.Name, text, "`nats stream edit` or `nats consumer edit`; what cannot be edited needs a new stream: drain it first"))
		case one.Name == "stream "+publisher.EventsStream && difference.Field == "max_age":
			all = append(all, finding(Warning, one.Name, text+": a request id that comes again after that starts another job", "`nats stream edit`, unless no request comes again so late"))
		case one.Name == "stream "+publisher.RequestsStream && difference.Field == "subjects":
			all = append(all, finding(Note, one.Name, text, provision.WithoutPriorities))
		default:
			all = append(all, finding(Note, one.Name, text, ""))
		}
	}
	const makeRoom = "raise the limit with `nats stream edit`, or make room on the disk: nothing is claimed and no outcome recorded without room"
	switch {
	case one.Used >= 1:
		all = append(all, finding(Error, one.Name, "is full and refuses messages: "+one.Limit, makeRoom))
	case one.Used >= 0.9:
		all = append(all, finding(Warning, one.Name, "is nearly full: "+one.Limit, makeRoom))
	}
	if one.Replicas == 1 && d.nc.ConnectedClusterName() != "" {
		all = append(all, finding(Warning, one.Name, "one replica in a cluster: it is gone with its server",
			fmt.Sprintf("`nats stream edit %s --replicas 3`", strings.TrimPrefix(one.Name, "stream "))))
	}
	if len(all) == 0 {
		all = append(all, ok(one.Name, "as shipped"))
	}
	return all
}

// pause reports a paused queue: no job is started while the pause lasts.
func (d *natsDoctor) pause(ctx context.Context) []Finding {
	var info *jetstream.ConsumerInfo
	err := d.ask(ctx, func(ctx context.Context) error {
		durable, err := d.js.Consumer(ctx, publisher.RequestsStream, publisher.RequestsConsumer)
		if err == nil {
			info = durable.CachedInfo()
		}
		return err
	})
	if err != nil || !info.Paused {
		return nil // said by streams
	}
	return []Finding{finding(Note, "queue", fmt.Sprintf("paused for another %s, by an operator or because the vendor asked for it", info.PauseRemaining.Round(time.Second)), "`backhaul resume` ends it")}
}

const (
	// skewNoted is a difference of clocks that only matters to who compares times.
	skewNoted = 2 * time.Second
	// skewWarned makes a notAfter be met at the wrong time.
	skewWarned = time.Minute
)

// clock compares the local clock with the server's. Leases use the server's clock
// only; notAfter and the times in events use the local one.
func (d *natsDoctor) clock(ctx context.Context) []Finding {
	var theirs time.Time
	var before, after time.Time
	err := d.ask(ctx, func(ctx context.Context) error {
		before = time.Now()
		stream, err := d.js.Stream(ctx, publisher.RequestsStream)
		if after = time.Now(); err == nil {
			theirs = stream.CachedInfo().TimeStamp
		}
		return err
	})
	if err != nil || theirs.IsZero() {
		return nil // said by streams and server
	}
	return []Finding{skewFinding("nats clock", theirs.Sub(before.Add(after.Sub(before)/2)))}
}

func skewFinding(check string, skew time.Duration) Finding {
	text := fmt.Sprintf("%s ahead of this host", skew.Abs().Round(time.Millisecond))
	if skew < 0 {
		text = fmt.Sprintf("%s behind this host", skew.Abs().Round(time.Millisecond))
	}
	switch {
	case skew.Abs() > skewWarned:
		return finding(Warning, check, text+": requests expire at the wrong time", "synchronise the clocks (NTP)")
	case skew.Abs() > skewNoted:
		return finding(Note, check, text, "synchronise the clocks (NTP)")
	}
	return ok(check, "within %s", skewNoted)
}
