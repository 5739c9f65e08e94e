package consumer_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/consumer/follower"
	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
	"backhaul/vendorapi/simulator"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestARequestBecomesAJob(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	sequence := b.publish("billing", `{"requestId":"inv-7","clientName":"s-adhoc-object-storage","subclientName":"stestgroup",
		"storagePolicyName":"default-plan","onDemandInputFile":"/sk/list.txt","backupLevel":"FULL","labels":{"ticket":"CHG-17"}}`,
		"traceparent", trace)
	requested := b.stored(publisher.RequestsStream, ">")[0]
	if requested.Sequence != sequence {
		t.Fatalf("the request has sequence %d, want %d", requested.Sequence, sequence)
	}
	before := time.Now()
	b.start(unhurried)
	b.settled()

	history := b.events(">")
	if kinds(history) != "job-submitting job-started" {
		t.Fatalf("the events are %s, want exactly two", kinds(history))
	}
	submitting, started := history[0].data.(*schemas.JobSubmitting), history[1].data.(*schemas.JobStarted)
	wantNames := schemas.Naming{
		RequestID: "inv-7", Source: "billing", ClientName: "s-adhoc-object-storage", InstanceName: "s-adhoc-object-storage",
		BackupsetName: "defaultBackupSet", SubclientName: "stestgroup", StoragePolicyName: "default-plan",
		BackupLevel: "FULL", OnDemandInputFile: "/sk/list.txt", Labels: map[string]string{"ticket": "CHG-17"},
	}
	for _, e := range history {
		if !reflect.DeepEqual(e.data.Names(), wantNames) {
			t.Errorf("%s names %+v, want %+v", e.kind, e.data.Names(), wantNames)
		}
		if m := e.data.Requested(); !m.RequestedAt.Equal(requested.Time) || m.PayloadHash != submitting.Request.Hash() {
			t.Errorf("%s is about %+v, want the message of %s with hash %s", e.kind, m, requested.Time, submitting.Request.Hash())
		}
		if at := e.data.At(); at.Before(before.Add(-time.Millisecond)) || at.After(time.Now()) {
			t.Errorf("%s happened at %s", e.kind, at)
		}
		if got := e.Header.Get("traceparent"); got != trace {
			t.Errorf("%s has traceparent %q", e.kind, got)
		}
		if got, want := e.Header.Get("ce-id"), "billing/inv-7/"+string(e.kind); got != want {
			t.Errorf("%s has ce-id %q, want %q", e.kind, got, want)
		}
		if got := e.Header.Get("ce-subject"); got != "s-adhoc-object-storage/stestgroup" {
			t.Errorf("%s has ce-subject %q", e.kind, got)
		}
	}
	if !submitting.Request.AdHocBackup || submitting.Request.AppName != schemas.DefaultAppName {
		t.Errorf("the claim's request is not normalised: %+v", submitting.Request)
	}
	if c := submitting.Claim; c.Owner != "one" || c.Nonce == "" || c.Epoch != 1 || c.LeaseMillis < 1000 || c.DoubtSequence != 0 {
		t.Errorf("the claim is %+v", c)
	}
	if started.JobID != "5976" || !slices.Equal(started.JobIDs, []string{"5976"}) || started.TaskID != "4038" ||
		started.Attempts != 1 || started.Adopted {
		t.Errorf("job-started is %+v", started)
	}
	var plain map[string]any
	if err := json.Unmarshal(history[1].Data, &plain); err != nil || plain["jobId"] != "5976" || plain["adopted"] != false {
		t.Errorf("a plain JSON reader sees %s", history[1].Data)
	}
	b.checkPromise(1)
	if account := b.sim.Account(); account.CreateTaskCalls != 1 || account.Calls["JobList"] != 0 {
		t.Errorf("the vendor was called %v, want one CreateTask and no look", account.Calls)
	}
	if got := len(b.deadLetters()); got != 0 {
		t.Errorf("%d dead letters", got)
	}
}

func TestFormsOfARequest(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.start()
	data := body("")
	structured := func(id, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"/crm","type":"crm.paid","traceparent":%q,"anyextension":1,"data":%s}`, id, trace, data)
	}
	binary := func(id string) []string {
		return []string{"ce-specversion", "1.0", "ce-id", id, "ce-source", "/crm", "ce-type", "crm.paid", "Content-Type", "application/json", "ce-traceparent", trace}
	}
	for name, test := range map[string]struct {
		data    string
		headers []string
		id      string // "" stands for the message's place in the stream
	}{
		"plain":                                     {body("plain-1"), nil, "plain-1"},
		"plain with a message id":                   {data, []string{"Nats-Msg-Id", "msg-1"}, "msg-1"},
		"the member goes before the header":         {body("plain-2"), []string{"Nats-Msg-Id", "msg-2"}, "plain-2"},
		"without an id":                             {data, nil, ""},
		"structured by its content type":            {structured("ce-1", data), []string{"Content-Type", "application/cloudevents+json"}, "ce-1"},
		"structured by its member":                  {structured("ce-2", data), nil, "ce-2"},
		"structured with a request id":              {structured("ce-3", body("plain-3")), nil, "plain-3"},
		"binary":                                    {data, binary("ce-4"), "ce-4"},
		"binary in capitals":                        {data, []string{"Ce-Specversion", "1.0", "CE-ID", "ce-5", "CE-Source", "/crm", "ce-Type", "t"}, "ce-5"},
		"binary with a percent-encoded id":          {data, binary("s%C3%BCd%20%2F1"), "süd /1"},
		"binary with a request id":                  {body("plain-4"), binary("ce-6"), "plain-4"},
		"an id with dots":                           {body("a.b.c"), nil, "a.b.c"},
		"an id with wildcards":                      {body("> * "), nil, "> * "},
		"an id that looks like a place":             {body("seq-1"), nil, "seq-1"},
		"an id that looks like a hash":              {body("sha256-1"), nil, "sha256-1"},
		"a long id":                                 {body(strings.Repeat("i", 256)), nil, strings.Repeat("i", 256)},
		"an id of markup":                           {body("<b>&amp;"), nil, "<b>&amp;"},
		"an id of another script":                   {body("請求-1"), nil, "請求-1"},
		"members in any order and with white space": {" {\n\"subclientName\" : \"stestgroup\",\t\"requestId\":\"ws\",\"clientName\":\"s-adhoc-object-storage\"}\n", nil, "ws"},
	} {
		t.Run(name, func(t *testing.T) {
			sequence := b.publish("billing", test.data, test.headers...)
			b.settled()
			key, id := billing(test.id), test.id
			if id == "" {
				key = b.place("billing", sequence)
				id = key.Name
			}
			e := b.started(key)
			if e.RequestID != id || e.Adopted {
				t.Errorf("job-started is about %q, adopted %t; want %q", e.RequestID, e.Adopted, id)
			}
			if strings.Contains(test.data+strings.Join(test.headers, " "), trace) {
				if got := b.history(key)[1].Header.Get("traceparent"); got != trace {
					t.Errorf("traceparent is %q", got)
				}
			}
		})
	}
	if got := len(b.deadLetters()); got != 0 {
		t.Errorf("%d dead letters", got)
	}
}

// Two messages without an id are two requests, whatever their content.
func TestRequestsWithoutAnID(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	first, second := b.publish("billing", body("")), b.publish("billing", body(""))
	b.start()
	b.settled()
	one := b.started(b.place("billing", first))
	other := b.started(b.place("billing", second))
	if one.JobID == other.JobID {
		t.Errorf("both have job %s", one.JobID)
	}
	b.checkPromise(2)
}

func TestTheVendorRefuses(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	data := `{"requestId":"inv-8","clientName":"s-adhoc-object-storage","subclientName":"no-such-group","labels":{"k":"v"}}`
	sequence := b.publish("billing", data, "X-Theirs", "kept", "Nats-Msg-Id", "their-id")
	requested := b.stored(publisher.RequestsStream, ">")[0]
	b.start(unhurried)
	b.settled()
	if got := kinds(b.events(">")); got != "job-submitting job-failed" {
		t.Fatalf("the events are %s", got)
	}
	e := b.failed(billing("inv-8"))
	if e.ErrorCode != "587207178" || e.ErrorLogCode != "35:4618" || e.ErrorSource != schemas.ErrorSourceVendor ||
		e.ErrorMessage != "Failed to start backups as no eligible subclients were found. " || e.Retryable || e.Attempts != 1 ||
		len(e.Candidates) != 0 || e.Labels["k"] != "v" || !e.RequestedAt.Equal(requested.Time) {
		t.Errorf("job-failed is %+v", e)
	}
	deadLetters := b.deadLetters()
	if len(deadLetters) != 1 || deadLetters[0].Subject != "backup.dlq.billing" || string(deadLetters[0].Data) != data {
		t.Fatalf("the dead letters are %v", deadLetters)
	}
	for name, want := range map[string]string{
		"X-Theirs":                          "kept",
		"Backhaul-Original-Nats-Msg-Id":     "their-id",
		publisher.HeaderDeadLetterCode:      "587207178",
		publisher.HeaderDeadLetterSubject:   "backup.request.billing",
		publisher.HeaderDeadLetterKey:       "inv-8",
		publisher.HeaderDeadLetterRequestID: "inv-8",
		publisher.HeaderDeadLetterSequence:  fmt.Sprint(sequence),
		publisher.HeaderDeadLetterTime:      requested.Time.UTC().Format(time.RFC3339Nano),
	} {
		if got := deadLetters[0].Header.Get(name); got != want {
			t.Errorf("header %s is %q, want %q", name, got, want)
		}
	}
	b.checkPromise(0)
}

func TestNotAfterInThePast(t *testing.T) {
	t.Parallel()
	b := newRig(t, simulator.Config{})
	b.publish("billing", body("late", `"notAfter":"2026-01-01T00:00:00Z"`))
	b.publish("billing", body("in-time", `"notAfter":"2999-01-01T00:00:00Z"`))
	b.start()
	b.settled()
	if e := b.failed(billing("late")); e.ErrorCode != schemas.CodeExpired || e.Attempts != 0 || e.ErrorSource != schemas.ErrorSourceBackhaul {
		t.Errorf("job-failed is %+v", e)
	}
	b.started(billing("in-time"))
	if account := b.sim.Account(); account.CreateTaskCalls != 1 {
		t.Errorf("%d calls of CreateTask, want only the one in time", account.CreateTaskCalls)
	}
	if deadLetters := b.deadLetters(); len(deadLetters) != 1 || deadLetters[0].Header.Get(publisher.HeaderDeadLetterCode) != schemas.CodeExpired {
		t.Errorf("the dead letters are %v", deadLetters)
	}
	b.checkPromise(1)
}

// The cost of a request in the normal case: two writes to the events stream, one
// acknowledgement and no read. Following its job adds nothing to it: neither the lists nor the
// follower's pulls, each with one read, depend on the number of requests.
func TestTheHappyPath(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*setup)
		follow bool
	}{
		"without a policy": {func(*setup) {}, false},
		"with a policy":    {policy(allowAll), false},
		"with a follower":  {func(*setup) {}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newRig(t, simulator.Config{Conflict: simulator.ConflictIgnore, JobDuration: time.Hour})
			w := b.start(c.change, unhurried)
			b.eventually("the queue is pulled from", func() bool {
				durable, err := b.js.Consumer(b.within(patience), publisher.RequestsStream, publisher.RequestsConsumer)
				return err == nil && durable.CachedInfo().NumWaiting > 0
			})
			followed := func() int { return 0 }
			if c.follow {
				followed = b.follow()
			}
			// Only the worker's own connection counts.
			observer := b.nats.Connect(t)
			var mu sync.Mutex
			seen, pulls, confirmed := make(map[string]int), 0, 0
			count := func(msg *nats.Msg) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case strings.HasPrefix(msg.Subject, "$JS.ACK.") && string(msg.Data) == "+WPI":
				case strings.HasPrefix(msg.Subject, "$JS.ACK."):
					seen["acknowledgements"]++
				case msg.Subject == "$JS.API.CONSUMER.MSG.NEXT.BACKUP_EVENTS.follower":
					pulls++
				case msg.Subject == "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS" && strings.Contains(string(msg.Data), `"backup.event.job-started.`):
					confirmed++
				case msg.Subject == "$JS.API.STREAM.MSG.GET.BACKUP_EVENTS" && strings.Contains(string(msg.Data), publisher.PausesSubject):
					// once a second, for whatever number of requests
				case strings.HasPrefix(msg.Subject, "$JS.API.STREAM.MSG."), strings.HasPrefix(msg.Subject, "$JS.API.DIRECT"),
					msg.Subject == "$JS.API.STREAM.INFO.BACKUP_REQUESTS" && len(msg.Data) > 0: // by subject, as the picker asks
					seen["reads"]++
				case strings.HasPrefix(msg.Subject, "backup.event."):
					seen["writes"]++
				}
			}
			for _, subject := range []string{"$JS.ACK.>", "$JS.API.>", "backup.event.>"} {
				if _, err := observer.Subscribe(subject, count); err != nil {
					t.Fatal(err)
				}
			}
			if err := observer.Flush(); err != nil {
				t.Fatal(err)
			}
			const requests = 300
			for i := range requests {
				b.publish("billing", body(fmt.Sprint("id-", i)))
			}
			b.settled()
			b.eventually("the follower has every job", func() bool { return !c.follow || followed() == requests })
			w.drain()
			if err := observer.Flush(); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprint(map[string]int{"writes": 2 * requests, "acknowledgements": requests})
			b.eventually("the server saw "+want, func() bool {
				mu.Lock()
				defer mu.Unlock()
				return fmt.Sprint(seen) == want || seen["reads"] > 0 || seen["writes"] > 2*requests
			})
			if got := fmt.Sprint(seen); got != want {
				t.Errorf("the server saw %s, want %s", got, want)
			}
			if confirmed > pulls || pulls > requests/10 {
				t.Errorf("the follower pulled %d times and read %d messages", pulls, confirmed)
			}
			b.checkPromise(requests)
			calls := b.sim.Account().Calls
			if lists := calls["JobList"]; lists > 2 || c.follow != (lists > 0) {
				t.Errorf("%d lists of jobs", lists)
			}
			delete(calls, "Login")
			delete(calls, "JobList")
			if want := map[string]int{"CreateTask": requests}; !reflect.DeepEqual(calls, want) {
				t.Errorf("the vendor was called %v, want %v", calls, want)
			}
		})
	}
}

// follow follows the started jobs until the test ends, and lists them once. It returns how many
// jobs are followed.
func (b *rig) follow() (followed func() int) {
	b.t.Helper()
	client, err := vendorapi.New(vendorapi.Config{Endpoint: b.endpoint, Timeout: 20 * time.Second, Auth: vendorapi.Auth{
		Mode: vendorapi.AuthLogin, Username: "backhaul",
		Password: func() (vendorapi.Secret, error) { return vendorPassword, nil },
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	f, err := follower.New(follower.Config{IntervalMin: time.Hour, IntervalMax: time.Hour}, b.nats.Connect(b.t), client, zerolog.Nop())
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Run(ctx)
	}()
	b.t.Cleanup(func() {
		stop()
		<-ended
	})
	b.eventually("the follower reads", func() bool { return f.State().Reading })
	return func() int { return f.State().Followed }
}
