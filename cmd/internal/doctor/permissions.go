package doctor

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher"
)

// need is a subject that `backhaul run` publishes on.
type need struct {
	subject string
	// without says what is lost without it; "" means that nothing works.
	without string
}

// needs is what BACKHAUL_ROLE of deploy/nats/roles.conf lists.
var needs = []need{
	{"backup.event.>", ""},
	{"backup.dlq.*", ""},
	{"$JS.ACK." + publisher.RequestsStream + "." + publisher.RequestsConsumer + ".>", ""},
	{"$JS.API.CONSUMER.INFO." + publisher.RequestsStream + "." + publisher.RequestsConsumer, ""},
	{"$JS.API.CONSUMER.MSG.NEXT." + publisher.RequestsStream + "." + publisher.RequestsConsumer, ""},
	{"$JS.API.STREAM.INFO." + publisher.RequestsStream, ""},
	{"$JS.API.STREAM.INFO." + publisher.EventsStream, ""},
	{"$JS.API.STREAM.INFO." + publisher.DeadLetterStream, ""},
	{"$JS.API.STREAM.MSG.GET." + publisher.RequestsStream, ""},
	{"$JS.API.STREAM.MSG.GET." + publisher.EventsStream, ""},
	{publisher.MarkSubject, withoutMark},
	{"$JS.API.STREAM.INFO." + publisher.MarkStream, withoutMark},
	{"$JS.API.STREAM.MSG.GET." + publisher.MarkStream, withoutMark},
	{"$JS.API.CONSUMER.INFO." + publisher.EventsStream + "." + publisher.FollowerConsumer, withoutFollower},
	{"$JS.API.CONSUMER.MSG.NEXT." + publisher.EventsStream + "." + publisher.FollowerConsumer, withoutFollower},
	{"$JS.API.CONSUMER.RESET." + publisher.EventsStream + "." + publisher.FollowerConsumer, withoutFollower},
	{"$JS.ACK." + publisher.EventsStream + "." + publisher.FollowerConsumer + ".>", withoutFollower},
	{publisher.FollowerStateSubject, "`backhaul status` does not show the jobs that are followed"},
	{"$JS.API.STREAM.INFO." + publisher.DigestStream, withoutDigests},
	{publisher.AnyDigest, withoutDigests},
	{"$JS.API.DIRECT.GET." + publisher.DigestStream + "." + publisher.AnyDigest, withoutDigests},
	{"$JS.API.CONSUMER.PAUSE." + publisher.RequestsStream + "." + publisher.RequestsConsumer, "each replica meets the vendor's pause by itself"},
	{"$JS.API.STREAM.MSG.DELETE." + publisher.RequestsStream, "a request that the server forgot stays in the stream after its outcome"},
	{"$JS.API.STREAM.MSG.DELETE." + publisher.DeadLetterStream, "dead letters cannot be dropped from the page"},
}

const withoutMark = "a ledger that is lost while no replica runs is not noticed"

const withoutDigests = "with objectives, every event is read at each start"

// mayPublish asks the server what this user may publish, nil if that is everything.
func (d *natsDoctor) mayPublish(ctx context.Context) (publish *natsconn.Subjects, err error) {
	err = d.ask(ctx, func(ctx context.Context) (err error) {
		publish, err = natsconn.MayPublish(ctx, d.nc)
		return err
	})
	return publish, err
}

// permissions asks the server what this user may publish. To try it would be to
// do it.
func (d *natsDoctor) permissions(ctx context.Context) []Finding {
	const check = "nats permissions"
	publish, err := d.mayPublish(ctx)
	if errors.Is(err, nats.ErrPermissionViolation) {
		return []Finding{finding(Note, check, "cannot be known: this user may not ask for "+natsconn.UserInfo, "allow it to publish there, or see the log of `backhaul run`: a refusal is an error there")}
	}
	if err != nil {
		return []Finding{finding(Note, check, "cannot be known: "+err.Error(), "")}
	}
	if publish == nil {
		return []Finding{ok(check, "this user may publish everything in its account; a user with fewer permissions is safer")}
	}
	var all []Finding
	for _, n := range needs {
		switch {
		case publish.Allows(n.subject):
		case n.without == "":
			all = append(all, finding(Error, check, "this user may not publish on "+n.subject, "allow it: the service does not work without"))
		default:
			all = append(all, finding(Warning, check, "this user may not publish on "+n.subject+": "+n.without, "allow it"))
		}
	}
	if len(all) == 0 {
		all = append(all, ok(check, "this user may publish all that `backhaul run` needs"))
	}
	return all
}
