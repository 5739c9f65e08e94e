package telemetry

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"backhaul/cmd/internal/queue"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

const (
	// lookTimeout bounds what one scrape may ask of the server: a scrape is given
	// up after 10 s by default.
	lookTimeout = 2 * time.Second
	// lookEvery is how old an answer may be; it is for several scrapers, and for a
	// server that does not answer.
	lookEvery = 5 * time.Second
)

// queueLook looks at the streams when it is scraped.
type queueLook struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	look func(context.Context) (view, error)

	mu   sync.Mutex // held while it looks: others wait for the same answer
	at   time.Time  // of the last look
	last view
	err  error
}

// view is what one look has seen.
type view struct {
	queue.State
	deadLetters uint64
	at          time.Time
}

// WatchQueue adds the queue's gauges to the metrics.
func (m *Metrics) WatchQueue(nc *nats.Conn) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	q := &queueLook{nc: nc, js: js}
	q.look = q.ask
	m.registry.MustRegister(q)
	return nil
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}

var (
	natsConnected  = desc("nats_connected", "1 while the connection to NATS is up.")
	natsReconnects = desc("nats_reconnects_total", "Times that the connection to NATS was made again.")

	queueUp          = desc("queue_up", "1 if JetStream answered when it was last asked about the queue. If not, there are no other gauges of it.")
	queuePending     = desc("queue_pending", "Requests that no replica has in flight.")
	queueAckPending  = desc("queue_ack_pending", "Requests that are delivered, to any replica, and not acknowledged.")
	queueRedelivered = desc("queue_redelivered", "Requests in flight that were delivered more than once.")
	queueOldest      = desc("queue_oldest_request_age_seconds", "Age of the oldest request that has no outcome, 0 without one.")
	queuePaused      = desc("queue_paused", "1 while the server delivers nothing, because the vendor or an operator asked for a pause.")
	queuePulls       = desc("queue_waiting_pulls", "Pulls of all replicas that wait at the server; 0 means that no replica asks for work, or that starts are scarce.")
	deadLetters      = desc("dead_letters", "Messages on the dead letter stream.")

	queueDescs = []*prometheus.Desc{
		natsConnected, natsReconnects, queueUp, queuePending, queueAckPending, queueRedelivered, queueOldest, queuePaused, queuePulls, deadLetters,
	}
)

// Describe implements prometheus.Collector.
func (q *queueLook) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range queueDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (q *queueLook) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value)
	}
	gauge(natsConnected, number(q.nc.IsConnected()))
	metrics <- prometheus.MustNewConstMetric(natsReconnects, prometheus.CounterValue, float64(q.nc.Stats().Reconnects))
	v, err := q.seen()
	gauge(queueUp, number(err == nil))
	if err != nil {
		return
	}
	gauge(queuePending, float64(v.Waiting))
	gauge(queueAckPending, float64(v.InFlight))
	gauge(queueRedelivered, float64(v.Redelivered))
	gauge(queueOldest, v.Age(time.Now()).Seconds())
	gauge(queuePaused, number(v.PausedFor > time.Since(v.at)))
	gauge(queuePulls, float64(v.Pulls))
	gauge(deadLetters, float64(v.deadLetters))
}

// seen returns the last answer, or asks again. A connection that is down is not asked.
func (q *queueLook) seen() (view, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.nc.IsConnected() {
		q.at = time.Time{}
		return view{}, nats.ErrDisconnected
	}
	if time.Since(q.at) < lookEvery {
		return q.last, q.err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTimeout)
	defer cancel()
	q.last, q.err = q.look(ctx)
	q.at = time.Now()
	return q.last, q.err
}

func (q *queueLook) ask(ctx context.Context) (view, error) {
	state, err := queue.Look(ctx, q.js)
	if err != nil {
		return view{}, err
	}
	deadLetters, err := q.js.Stream(ctx, publisher.DeadLetterStream)
	if err != nil {
		return view{}, err
	}
	return view{State: state, deadLetters: deadLetters.CachedInfo().State.Msgs, at: time.Now()}, nil
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// states are those of the breaker.
var states = []string{"closed", "open", "half_open"}

// process collects what this process knows without a call.
type process struct {
	client  *vendorapi.Client
	ready   func() error
	trouble func() error
}

// WatchProcess adds gauges of this process: whether it is ready, what trouble there
// is with the vendor, if any, and what holds attempts back.
func (m *Metrics) WatchProcess(client *vendorapi.Client, ready, trouble func() error) {
	m.registry.MustRegister(&process{client, ready, trouble})
}

var (
	ready        = desc("ready", "1 while requests are being read, as /readyz says.")
	vendorUp     = desc("vendor_up", "0 if the last call of the vendor failed, as the condition in /readyz says.")
	breakerState = desc("vendor_breaker_state", "1 for the state that the breaker is in.", "state")
	vendorHold   = desc("vendor_hold_seconds", "For how long no attempt is made yet, by reason.", "reason")
	tokenExpiry  = desc("vendor_token_expiry_timestamp_seconds", "When the access token ends that this process renewed last, if the vendor said so.")

	processDescs = []*prometheus.Desc{ready, vendorUp, breakerState, vendorHold, tokenExpiry}
)

// Describe implements prometheus.Collector.
func (*process) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range processDescs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (p *process) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(ready, number(p.ready() == nil))
	gauge(vendorUp, number(p.trouble() == nil))
	state := strings.ReplaceAll(p.client.Breaker(), "-", "_")
	for _, s := range states {
		gauge(breakerState, number(s == state), s)
	}
	_, cooldown := p.client.Capacity(1)
	for _, reason := range []vendorapi.CooldownReason{vendorapi.CooldownThrottled, vendorapi.CooldownOutage, vendorapi.CooldownRate, vendorapi.CooldownLogin, vendorapi.CooldownBudget} {
		left := 0.0
		if cooldown.Reason == reason {
			left = cooldown.For.Seconds()
		}
		gauge(vendorHold, left, reason.String())
	}
	if expires := p.client.TokenExpires(); !expires.IsZero() {
		gauge(tokenExpiry, float64(expires.Unix()))
	}
}
