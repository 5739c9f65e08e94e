package natsconn_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/cmd/internal/natsconn"
	"backhaul/publisher/natstest"
)

// What JetStream answers is the result, and what is silence for now is asked
// again.
func TestPatiently(t *testing.T) {
	t.Parallel()
	nc := natstest.StartBare(t).Connect(t)
	wrong := errors.New("stream X differs")
	for name, test := range map[string]struct {
		answer error
		again  bool
	}{
		"done":              {nil, false},
		"timeout":           {context.DeadlineExceeded, true},
		"disconnected":      {nats.ErrDisconnected, true},
		"reconnecting":      {nats.ErrReconnectBufExceeded, true},
		"closed":            {nats.ErrConnectionClosed, false},
		"no JetStream":      {jetstream.ErrJetStreamNotEnabled, true},
		"no leader":         {&jetstream.APIError{Code: 503, ErrorCode: 10008}, true},
		"no peers":          {&jetstream.APIError{Code: 400, ErrorCode: 10005}, true},
		"no stream":         {jetstream.ErrStreamNotFound, false},
		"no such replicas":  {&jetstream.APIError{Code: 500, ErrorCode: 10074}, false},
		"not what is asked": {wrong, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked, told := 0, 0
			err := natsconn.Patiently(t.Context(), nc, time.Minute, func(context.Context) error {
				if asked++; asked == 3 {
					return nil
				}
				return test.answer
			}, func(err error) {
				if told++; !errors.Is(err, test.answer) {
					t.Errorf("told of %v", err)
				}
			})
			switch {
			case test.again && (err != nil || asked != 3 || told != 1):
				t.Errorf("asked %d times, told %d times: %v", asked, told, err)
			case !test.again && (!errors.Is(err, test.answer) || asked != 1 || told != 0):
				t.Errorf("asked %d times, told %d times: %v", asked, told, err)
			}
		})
	}
}

// When patience ends the error has the last answer, and not that the
// wait was ended.
func TestPatiently_ends(t *testing.T) {
	t.Parallel()
	stopped := errors.New("stopped")
	for name, test := range map[string]struct {
		last error
		end  time.Duration // of the caller's context
		want func(error) bool
	}{
		"silence": {context.DeadlineExceeded, time.Hour, func(err error) bool {
			e, ok := errors.AsType[*natsconn.UnreachableError](err)
			return ok && errors.Is(e.Err, context.DeadlineExceeded)
		}},
		"no leader": {&jetstream.APIError{Code: 503, ErrorCode: 10008}, time.Hour, func(err error) bool {
			_, ok := errors.AsType[*natsconn.UnreachableError](err)
			return ok
		}},
		"no room": {&jetstream.APIError{Code: 503, ErrorCode: 10023}, time.Hour, func(err error) bool {
			e, ok := errors.AsType[*jetstream.APIError](err)
			return ok && e.ErrorCode == 10023
		}},
		"stopped": {context.DeadlineExceeded, 30 * time.Second, func(err error) bool { return errors.Is(err, stopped) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer time.AfterFunc(test.end, func() { cancel(stopped) }).Stop()
				began := time.Now()
				err := natsconn.Patiently(ctx, &nats.Conn{}, time.Minute, func(ctx context.Context) error {
					if _, ok := ctx.Deadline(); ok {
						t.Error("the question has a deadline, and so not its own timeout")
					}
					select { // as a question that is not answered within 7 s
					case <-time.After(7 * time.Second):
						return test.last
					case <-ctx.Done():
						return ctx.Err()
					}
				}, nil)
				if !test.want(err) {
					t.Errorf("%T %v", err, err)
				}
				if took := time.Since(began); took != min(test.end, time.Minute) {
					t.Errorf("it took %s", took)
				}
			})
		})
	}
}

// A refusal of the question ends it at once. One that came before, and one of what is
// optional, do not.
func TestPatiently_refusals(t *testing.T) {
	t.Parallel()
	url := serve(t, server.Options{Users: []*server.User{{Username: "relay", Password: password, Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Deny: []string{"$JS.API.>"}},
	}}}})
	nc, err := nats.Connect(url, nats.UserInfo("relay", password), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	refused := func(subject string) error { return errors.Join(nc.Publish(subject, nil), nc.Flush()) }
	if err := refused("$JS.API.STREAM.INFO.EARLIER"); err != nil || !errors.Is(nc.LastError(), nats.ErrPermissionViolation) {
		t.Fatal(err, nc.LastError())
	}
	for subject, ends := range map[string]bool{
		"$JS.API.STREAM.INFO.BACKUP_EVENTS":  true,
		"$JS.API.STREAM.CREATE.BACKUP_DLQ":   true,
		"$JS.API.STREAM.CREATE.BACKUP_MARK":  false,
		"$JS.API.STREAM.NAMES":               false,
		"backup.request.billing":             false, // permitted
		"$JS.API.CONSUMER.DELETE.X.reader-X": false,
	} {
		err := natsconn.Patiently(t.Context(), nc, time.Hour, func(ctx context.Context) error {
			if err := refused(subject); err != nil {
				return err
			}
			if ends {
				<-ctx.Done()
				return ctx.Err()
			}
			select { // long enough for the refusal to be seen
			case <-time.After(3 * natsconn.RetryWait):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}, nil)
		if ends != errors.Is(err, nats.ErrPermissionViolation) || ends && !strings.Contains(err.Error(), "grant publish on "+subject) || !ends && err != nil {
			t.Errorf("%s: %v", subject, err)
		}
	}
}
