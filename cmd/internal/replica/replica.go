// Package replica asks the admin listener of one `backhaul run` or `backhaul trigger`, as a
// supervisor or an operator does. The listener answers from memory, so every question has
// a short timeout. A replica that does not answer is a result, not an error.
package replica

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"backhaul/cmd/internal/doctor"
)

// Replica is what the admin listener of one process answers.
type Replica struct {
	// Address is the one that was asked.
	Address string `json:"address"`
	// Answered is false without an answer, or with one of another program; Error says why.
	Answered bool    `json:"answered"`
	Error    string  `json:"error,omitempty"`
	Ready    bool    `json:"ready"`
	Checks   []Check `json:"checks,omitempty"`
	// Other is true if it works on another ledger; then nothing else of it is known.
	Other bool `json:"other,omitempty"`

	// ledger is when its events stream was made, zero if it does not say so.
	ledger time.Time
}

// Check is one line of /readyz?verbose.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	// Condition is true if it does not decide whether the replica is ready.
	Condition bool `json:"condition"`
	// HoldsUp is true if no request is started while the check fails.
	HoldsUp bool   `json:"holdsUp,omitempty"`
	Error   string `json:"error,omitempty"`
	// Note adds to a check that passes.
	Note string `json:"note,omitempty"`
	// Until is when what the check says is tried again, zero if that is not known.
	Until time.Time `json:"until,omitzero"`
}

// Holds reports whether no request is started at the moment because of what the check says.
func (c Check) Holds() bool { return c.HoldsUp && (!c.OK || !c.Until.IsZero()) }

// Text returns the check in words.
func (c Check) Text() string {
	text := cmp.Or(c.Note, "ok")
	if !c.OK {
		text = c.Error
	}
	if !c.Until.IsZero() {
		text += "; the next try is at " + c.Until.UTC().Format(time.RFC3339)
	}
	return text
}

// Holding returns the checks because of which the replica starts no request at the moment.
func (r *Replica) Holding() (all []Check) {
	if r == nil || !r.Answered {
		return nil
	}
	for _, c := range r.Checks {
		if c.Holds() {
			all = append(all, c)
		}
	}
	return all
}

const (
	// replicaTimeout bounds the question: the listener answers from memory.
	replicaTimeout = 2 * time.Second
	maxAnswer      = 1 << 20
)

// Ask asks the listener at an address. It returns nil for "", a listener that is off.
func Ask(ctx context.Context, address string) *Replica {
	if address == "" {
		return nil
	}
	r := &Replica{Address: address}
	if err := r.ask(ctx); err != nil {
		r.Error = err.Error()
	}
	return r
}

func (r *Replica) ask(ctx context.Context) (err error) {
	if r.Address, err = Address(r.Address); err != nil {
		return err
	}
	status, body, err := Get(ctx, r.Address, "/readyz?verbose")
	if err != nil {
		return err
	}
	var answer struct {
		Ready  *bool
		Ledger time.Time
		Checks []Check
	}
	if json.Unmarshal(body, &answer) != nil || answer.Ready == nil {
		return fmt.Errorf("not a Backhaul admin endpoint (HTTP %d)", status)
	}
	r.Answered, r.Ready, r.Checks, r.ledger = true, *answer.Ready, answer.Checks, answer.Ledger
	return nil
}

// On keeps what a replica says only if it works on the ledger whose events stream was made at a time:
// the default address may be that of another installation on this machine. One that does not say so,
// as that of an earlier version, is believed.
func (r *Replica) On(made time.Time) *Replica {
	if r == nil || !r.Answered || r.ledger.IsZero() || r.ledger.Equal(made) {
		return r
	}
	return &Replica{Address: r.Address, Answered: true, Other: true, Error: fmt.Sprintf(
		"works on another ledger, with another NATS server or account: its stream BACKUP_EVENTS was made at %s, this one at %s", r.ledger.UTC().Format(time.RFC3339), made.UTC().Format(time.RFC3339))}
}

// Address returns the address at which a listener is reached from this machine.
func Address(listen string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	switch {
	case err != nil:
		return listen, err
	case port == "0":
		return listen, errors.New("port 0 stands for any free port; name the one that the replica logged")
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens on every address
	}
	return net.JoinHostPort(host, port), nil
}

// Get asks the listener at an address for one of its pages. An error means that there was
// no answer.
func Get(ctx context.Context, address, page string) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, replicaTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+page, nil)
	if err != nil {
		return 0, nil, err
	}
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	resp, err := client.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the address is said already
		}
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	return resp.StatusCode, body, err
}

// Findings returns what the replica says is wrong: an error if it is not ready for that. A
// replica that does not answer may be stopped or run elsewhere: that is not a finding.
func (r *Replica) Findings() (all []doctor.Finding) {
	if r == nil || !r.Answered {
		return nil
	}
	for _, c := range r.Checks {
		if !c.OK {
			level := doctor.Warning
			if !c.Condition {
				level = doctor.Error
			}
			all = append(all, doctor.Finding{
				Check: "replica " + c.Name, Level: level, What: r.Address + ": " + c.Text(),
				Fix: "its log says more, and deploy/RUNBOOK.md what each condition means",
			})
		}
	}
	return all
}
