package vendorapi

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"
)

const opTaskDetails = "TaskDetails"

const (
	// maxReaders is how many descriptions one search reads at the same time. Basis: the limit that
	// https://github.com/elohmeier/commvault-exporter uses.
	maxReaders = 4
	// maxKnown bounds the cached descriptions.
	maxKnown = 10_000
)

// description is the text that a job was started with.
type description struct {
	text string // "" when the vendor does not show it
	read bool
}

// descriptions returns the descriptions of several jobs in the order of the ids. A job whose
// details are broken or unreadable does not end the reading: it may stay broken, and ours may still
// be readable. Any other failure ends it.
func (c *Client) descriptions(ctx context.Context, ids []string) ([]description, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	all := make([]description, len(ids))
	var mu sync.Mutex // guards the three below
	var failed, broken error
	next := 0
	take := func() (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		next++
		return next - 1, next <= len(ids) && failed == nil
	}
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		switch e, ok := errors.AsType[*Error](err); {
		case failed != nil:
		case ok && (e.Status >= 500 || e.Status == http.StatusOK) && e.Verdict != Throttled:
			broken = err
		default:
			failed = err
			stop()
		}
	}
	var readers sync.WaitGroup
	for range min(maxReaders, len(ids)) {
		readers.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				text, err := c.description(ctx, ids[i])
				if err != nil {
					fail(err)
					continue
				}
				all[i] = description{text, true}
			}
		})
	}
	readers.Wait()
	if failed != nil {
		return all, failed
	}
	return all, broken
}

// known caches the texts that jobs were started with.
type known struct {
	mu      sync.Mutex
	byID    map[string]string
	reading map[string]*shared[string] // calls under way
}

// description returns the text that a job was started with, "" when the vendor does not show it. It
// never changes, so a known text is not read again. Calls for the same job at the same time share
// one read.
func (c *Client) description(ctx context.Context, id string) (string, error) {
	k := &c.known
	k.mu.Lock()
	if text, ok := k.byID[id]; ok {
		k.mu.Unlock()
		return text, nil
	}
	reading := k.reading[id]
	if reading == nil {
		reading = k.begin(ctx, id, c.readDescription)
	}
	reading.callers++
	k.mu.Unlock()
	return reading.wait(ctx)
}

// begin starts a read of a job's description; mu is held. The read ends with the last of its
// callers, not with ctx.
func (k *known) begin(ctx context.Context, id string, read func(context.Context, string) (string, error)) *shared[string] {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	reading := &shared[string]{op: opTaskDetails, owner: &k.mu, done: make(chan struct{})}
	reading.abandon = func() {
		cancel()
		if k.reading[id] == reading {
			delete(k.reading, id)
		}
	}
	if k.reading == nil {
		k.reading = make(map[string]*shared[string])
	}
	k.reading[id] = reading
	go func() {
		text, err := read(ctx, id)
		k.mu.Lock()
		defer k.mu.Unlock()
		if text != "" {
			k.keep(id, text)
		}
		reading.abandon()
		reading.finish(text, err)
	}()
	return reading
}

func (k *known) put(id, text string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keep(id, text)
}

// keep is put with mu held.
func (k *known) keep(id, text string) {
	if k.byID == nil || len(k.byID) >= maxKnown {
		k.byID = make(map[string]string)
	}
	k.byID[id] = text
}

func (c *Client) readDescription(ctx context.Context, id string) (string, error) {
	resp, err := c.read(ctx, call{op: opTaskDetails, method: http.MethodGet, path: "/Job/" + id + "/TaskDetails"})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Op == opTaskDetails && e.Err == nil && isHidden(e.Status) {
			return "", nil // hidden: no permission, or no such operation in this release
		}
		return "", err
	}
	text, err := jobDescription(resp.Body)
	if err != nil {
		return "", &Error{Op: opTaskDetails, Status: resp.Status, Message: excerpt(resp.Body), Err: err}
	}
	return text, nil
}

// isHidden reports whether a status means that repeating the read is useless.
func isHidden(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	}
	return isClientError(status) || status == http.StatusNotImplemented
}

// jobDescription finds the value of that name anywhere in the answer: it contains the task as it
// was sent, but its exact shape is not documented. Basis: https://github.com/Commvault/cvpysdk,
// cvpysdk/job.py, _get_job_task_details.
func jobDescription(body []byte) (string, error) {
	text := trimmed(body)
	if isXML(text) {
		return descriptionInXML(text)
	}
	return descriptionInJSON(text)
}

const descriptionName = "jobDescription"

// descriptionInXML reads an attribute or an element.
func descriptionInXML(text []byte) (string, error) {
	dec := newXMLDecoder(text)
	root, err := openXML(dec)
	var token xml.Token = root
	var value []byte
	inside, depth := false, 0
	for ; err == nil; token, err = dec.Token() {
		switch token := token.(type) {
		case xml.StartElement:
			inside, value = token.Name.Local == descriptionName, nil
			depth++
			for _, attr := range token.Attr {
				if text := strings.TrimSpace(attr.Value); attr.Name.Local == descriptionName && text != "" {
					return text, nil
				}
			}
		case xml.CharData:
			if inside {
				value = append(value, token...)
			}
		case xml.EndElement:
			if text := bytes.TrimSpace(value); inside && len(text) > 0 {
				return string(text), nil
			}
			inside = false
			if depth--; depth == 0 {
				return "", nil
			}
		}
	}
	return "", err
}

func descriptionInJSON(text []byte) (string, error) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text), lenient, jsontext.AllowDuplicateNames(true))
	if dec.PeekKind() != '{' {
		return "", errNoEnvelope
	}
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return "", err
		}
		if dec.StackDepth() == 0 {
			return "", nil
		}
		if kind, n := dec.StackIndex(dec.StackDepth()); kind == '{' && n%2 == 1 && token.Kind() == '"' && strings.TrimPrefix(token.String(), "@") == descriptionName {
			value, err := dec.ReadValue()
			var text flexibleText
			if err == nil {
				err = text.UnmarshalJSON(value)
			}
			if trimmed := strings.TrimSpace(string(text)); err != nil || trimmed != "" {
				return trimmed, err
			}
		}
	}
}
