package natsconn

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/publisher"
)

const (
	// violationLasts is for how long a violation counts after it was last seen.
	// Whatever is not permitted is tried again sooner: a pull after 2 s, a write
	// after 5 s, a request that was given back after 30 s at the latest.
	violationLasts = time.Minute
	// violationRepeat is how often a violation that goes on is logged again.
	violationRepeat = 15 * time.Minute
)

// Permissions records what the server did not permit. The server says so in addition to
// the answers, of which there are then none: without this a missing permission
// looks like a server that is slow.
//
// Its methods may be called at any time.
type Permissions struct {
	log zerolog.Logger
	now func() time.Time

	mu         sync.Mutex
	violations map[string]*violation // by what has to be granted
}

type violation struct {
	seen   time.Time // last
	logged time.Time
}

// WatchPermissions records what the server does not permit on this connection. It
// replaces the error handler of the connection.
func WatchPermissions(nc *nats.Conn, log zerolog.Logger) *Permissions {
	p := newPermissions(log)
	nc.SetErrorHandler(p.handle)
	return p
}

func newPermissions(log zerolog.Logger) *Permissions {
	return &Permissions{log: log, now: time.Now, violations: make(map[string]*violation)}
}

// Trouble returns the needed permission that was missing within the last minute, nil
// if none was.
func (p *Permissions) Trouble() error {
	return p.missing(func(grant string) bool { return !optional[grant] })
}

// missing returns those of the permissions that were missing within the last minute, nil for none.
func (p *Permissions) missing(of func(grant string) bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing []string
	for grant, v := range p.violations {
		if of(grant) && p.now().Sub(v.seen) < violationLasts {
			missing = append(missing, grant)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return fmt.Errorf("not permitted by NATS; grant %s", strings.Join(missing, ", "))
}

// Explain adds what was not permitted within the last minute to an error that there was no answer:
// what is not permitted has none.
func (p *Permissions) Explain(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
		return err
	}
	why := p.missing(func(grant string) bool { return grant != "publish on "+UserInfo })
	if why == nil {
		return err
	}
	return fmt.Errorf("%w: %w", err, why)
}

// AddTo adds what is not permitted to an error that does not name it.
func (p *Permissions) AddTo(err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return errors.Join(err, p.Trouble())
}

// handle records an asynchronous error of the client.
func (p *Permissions) handle(_ *nats.Conn, _ *nats.Subscription, err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		logOther(p.log, err)
		return
	}
	if Unneeded(err) {
		p.log.Debug().Err(err).Msg("NATS does not permit this user what it does not need")
		return
	}
	grant := grantFor(err.Error())
	p.mu.Lock()
	defer p.mu.Unlock()
	v := p.violations[grant]
	if v == nil {
		v = &violation{}
		p.violations[grant] = v
	}
	now := p.now()
	fresh := now.Sub(v.seen) >= violationLasts || now.Sub(v.logged) >= violationRepeat
	v.seen = now
	if !fresh {
		return
	}
	v.logged = now
	level := zerolog.ErrorLevel
	if optional[grant] {
		level = zerolog.WarnLevel
	}
	p.log.WithLevel(level).Err(err).Str("grant", grant).Msg("NATS does not permit this user what it needs")
}

// optional is what the docs of consumer, its follower and trigger say can be done without, digests of
// the events, and the question what else is missing.
var optional = map[string]bool{
	"publish on $JS.API.CONSUMER.PAUSE." + publisher.RequestsStream + "." + publisher.RequestsConsumer: true,
	"publish on $JS.API.STREAM.MSG.DELETE." + publisher.RequestsStream:                                 true,
	"publish on $JS.API.STREAM.MSG.DELETE." + publisher.DeadLetterStream:                               true,
	"publish on $JS.API.STREAM.INFO." + publisher.MarkStream:                                           true,
	"publish on $JS.API.STREAM.MSG.GET." + publisher.MarkStream:                                        true,
	"publish on $JS.API.STREAM.CREATE." + publisher.MarkStream:                                         true,
	"publish on " + publisher.MarkSubject:                                                              true,
	"publish on $JS.API.STREAM.INFO." + publisher.DigestStream:                                         true,
	"publish on $JS.API.STREAM.CREATE." + publisher.DigestStream:                                       true,
	"publish on " + publisher.AnyDigest:                                                                true,
	"publish on $JS.API.DIRECT.GET." + publisher.DigestStream + "." + publisher.AnyDigest:              true,
	"publish on " + UserInfo:                                                                           true,
	"publish on " + publisher.StateSubject:                                                             true,
	"publish on " + publisher.FollowerStateSubject:                                                     true,
	"publish on $JS.API.CONSUMER.RESET." + publisher.EventsStream + "." + publisher.FollowerConsumer:   true,
	"publish on $JS.ACK." + publisher.EventsStream + "." + publisher.FollowerConsumer + ".>":           true,
}

// digest is the subject of a digest.
var digest = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(` + regexp.QuoteMeta(strings.TrimSuffix(publisher.AnyDigest, "*")) + `)[0-9]+$`)
})

// reader is the name of a reader's consumer, which is another one each time.
var reader = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\.reader-[A-Z0-9]+`) })

var violated = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)permissions violation for (publish|subscription) to "([^"]*)"`)
})

// grantFor returns what has to be granted: the subject, with a wildcard for each token
// that differs between requests.
func grantFor(text string) string {
	m := violated().FindStringSubmatch(text)
	if m == nil {
		return "what the error names"
	}
	subject := digest().ReplaceAllString(reader().ReplaceAllString(m[2], ".*"), "${1}*")
	if strings.EqualFold(m[1], "subscription") {
		if subject == publisher.StateSubject || subject == publisher.FollowerStateSubject {
			return "subscribe to " + subject
		}
		prefix, _, _ := strings.Cut(subject, ".")
		return fmt.Sprintf("subscribe to %s.>, or set an inbox prefix that is permitted (BACKHAUL_NATS_INBOX_PREFIX)", prefix)
	}
	if _, operators := publisher.ParseOperatorSubject(subject); operators {
		return "publish on " + publisher.AnyOperator
	}
	tokens := strings.Split(subject, ".")
	for _, prefix := range []string{"$JS.ACK", "backup.event", "backup.dlq"} {
		if strings.HasPrefix(subject, prefix+".") {
			tokens = append(tokens[:min(ackTokens(subject), len(tokens)-1)], ">")
			break
		}
	}
	return "publish on " + strings.Join(tokens, ".")
}

// ackTokens returns how many leading tokens of an acknowledgement's subject are
// constant. The subject names stream and consumer, in a later form after domain and
// account, and ends with 5 or 6 tokens about the message.
func ackTokens(subject string) int {
	switch n := strings.Count(subject, ".") + 1; {
	case !strings.HasPrefix(subject, "$JS."):
		return 2
	case n >= 11:
		return 6
	default:
		return 4
	}
}

func logOther(log zerolog.Logger, err error) {
	level := zerolog.ErrorLevel
	if ofNetwork(err) {
		level = zerolog.DebugLevel // the disconnection is logged anyway
	}
	log.WithLevel(level).Err(err).Msg("NATS error")
}
