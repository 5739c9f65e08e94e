package programtest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
	"backhaul/publisher/natstest/waittest"
	"backhaul/schemas"
)

// Client is a NATS client as another team would have it.
type Client struct {
	T  *testing.T
	NC *nats.Conn
	JS jetstream.JetStream
}

// Connect connects a client until the test ends.
func Connect(t *testing.T, url string) *Client {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(20*time.Second)) // on a busy machine
	if err != nil {
		t.Fatal(err)
	}
	return &Client{T: t, NC: nc, JS: js}
}

// Publish publishes a message and waits until it is stored.
func (c *Client) Publish(subject string, header nats.Header, data []byte) {
	c.T.Helper()
	if _, err := c.JS.PublishMsg(c.T.Context(), &nats.Msg{Subject: subject, Header: header, Data: data}); err != nil {
		c.T.Fatal(err)
	}
}

// Answered asks the server again until it answers: a stream without a leader gives
// no answer, and a node that has just come back may need another try.
func (c *Client) Answered(what string, ask func() error) {
	c.T.Helper()
	waittest.Eventually(c.T, what, func() bool {
		err := ask()
		if err != nil {
			c.T.Logf("%s: %v", what, err)
		}
		return err == nil
	})
}

// Messages returns how many messages a stream holds.
func (c *Client) Messages(stream string) (n uint64) {
	c.T.Helper()
	c.Answered("state of "+stream, func() error {
		s, err := c.JS.Stream(c.T.Context(), stream)
		if err == nil {
			n = s.CachedInfo().State.Msgs
		}
		return err
	})
	return n
}

// Reader returns a consumer of the stored messages whose subject matches.
func (c *Client) Reader(stream, filter string) (consumer jetstream.Consumer) {
	c.T.Helper()
	c.Answered("reader of "+stream, func() (err error) {
		consumer, err = c.JS.CreateConsumer(c.T.Context(), stream, jetstream.ConsumerConfig{
			FilterSubject: filter, AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true,
		})
		return err
	})
	return consumer
}

// Stored returns every message of a stream whose subject matches. A reader whose
// leader is lost on the way is made again, and reads from the beginning.
func (c *Client) Stored(stream, filter string) (all []jetstream.Msg) {
	c.T.Helper()
	c.Answered("messages of "+stream, func() error {
		all = nil
		consumer := c.Reader(stream, filter)
		batch, err := consumer.FetchNoWait(int(consumer.CachedInfo().NumPending) + 1)
		if err != nil {
			return err
		}
		for msg := range batch.Messages() {
			all = append(all, msg)
		}
		return batch.Error()
	})
	return all
}

// WaitForOutcomes waits until the requests stream is empty.
func (c *Client) WaitForOutcomes() {
	c.T.Helper()
	waittest.Eventually(c.T, "empty request stream", func() bool { return c.Messages(publisher.RequestsStream) == 0 })
}

// Consumers returns the sorted names of all consumers, each as STREAM/CONSUMER.
func (c *Client) Consumers() []string {
	c.T.Helper()
	var all []string
	streams := c.JS.StreamNames(c.T.Context())
	for name := range streams.Name() {
		stream, err := c.JS.Stream(c.T.Context(), name)
		if err != nil {
			c.T.Fatal(err)
		}
		list := stream.ListConsumers(c.T.Context())
		for info := range list.Info() {
			all = append(all, name+"/"+info.Name)
		}
		if list.Err() != nil {
			c.T.Fatal(list.Err())
		}
	}
	if streams.Err() != nil {
		c.T.Fatal(streams.Err())
	}
	slices.Sort(all)
	return all
}

// KeepDeadLetters puts n dead letters into the stream, the first of them replayed.
func (c *Client) KeepDeadLetters(n int) {
	c.T.Helper()
	pub, err := publisher.New(c.NC)
	if err != nil {
		c.T.Fatal(err)
	}
	for i := range n {
		id := fmt.Sprint("letter-", i)
		key := publisher.NewKey("billing", id)
		if err := pub.DeadLetter(c.T.Context(), publisher.DeadLetter{
			Subject: "backup.request.billing", Data: SampleRequest(id), Key: key, RequestID: id, Sequence: uint64(i + 1000), Code: "2", Reason: "busy",
		}); err != nil {
			c.T.Fatal(err)
		}
		if _, err := pub.Append(c.T.Context(), key, 0, &schemas.JobFailed{
			Naming:    schemas.Naming{RequestID: id, Source: "billing", ClientName: "c", SubclientName: "g"},
			ErrorCode: "2", ErrorMessage: "busy", ErrorSource: "vendor", FailedAt: time.Now(),
		}, ""); err != nil {
			c.T.Fatal(err)
		}
	}
}
