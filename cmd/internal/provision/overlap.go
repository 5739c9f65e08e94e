package provision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

// Overlap is a subject of a missing stream that another stream has. Other is "" if the
// server did not name it.
type Overlap struct {
	Stream, Subject, Other string
}

// OverlapError lists what keeps streams from being made.
type OverlapError struct {
	Overlaps []Overlap
}

func (e *OverlapError) Error() string {
	var lines []string
	for _, o := range e.Overlaps {
		lines = append(lines, fmt.Sprintf("stream %s cannot be made: %s; %s", o.Stream, o.Reason(), o.Fix()))
	}
	return strings.Join(lines, "\n")
}

// Reason returns why the stream cannot be made.
func (o Overlap) Reason() string {
	other := "another stream"
	if o.Other != "" {
		other = "stream " + o.Other
	}
	return fmt.Sprintf("%s has its subject %s already", other, o.Subject)
}

// Fix returns what to do about it.
func (o Overlap) Fix() string {
	if o.Other == "" {
		return fmt.Sprintf("`nats stream ls --subject %q` names it", o.Subject)
	}
	return fmt.Sprintf("take the subject from %s (`nats stream edit %[1]s`), or let %[1]s source %s", o.Other, o.Stream)
}

// CreateError says that a stream or consumer is missing and could not be made.
type CreateError struct {
	// Name is "stream S" or "consumer S/C".
	Name string
	// Setup is the command that makes it.
	Setup string
	Err   error
}

func (e *CreateError) Error() string {
	if errors.Is(e.Err, nats.ErrPermissionViolation) {
		return fmt.Sprintf("%s does not exist, and this NATS user may not make it; run `%s` as a user that may, such as the provisioner of deploy/nats/roles.conf: %v", e.Name, e.Setup, e.Err)
	}
	return fmt.Sprintf("%s does not exist and cannot be made: %v", e.Name, e.Err)
}
func (e *CreateError) Unwrap() error { return e.Err }

// subjectsOverlap is the server's code for a stream with a subject of another one.
const subjectsOverlap jetstream.ErrorCode = 10065

// notMade returns the error of a stream or consumer that was not created. The server
// does not answer a refused request: the refusal is an error of the connection.
func notMade(js jetstream.JetStream, name, question string, err error) error {
	if denied := publisher.Denied(js.Conn(), question); denied != nil {
		err = denied
	}
	return &CreateError{Name: name, Err: err}
}

// namesPatience is how long the server may take to name the stream of a subject. A user
// that may not ask has no answer.
const namesPatience = time.Second

// overlaps returns an [*OverlapError] if other streams have subjects of those that are
// missing. Without an answer it is nil: then the server refuses to make the stream, and
// does not name the other one.
func overlaps(ctx context.Context, js jetstream.JetStream, sets ...set) error {
	var e OverlapError
	for _, s := range sets {
		wanted, err := s.streams()
		if err != nil {
			return err
		}
		for _, want := range wanted {
			_, err := js.Stream(ctx, want.Name)
			if err == nil {
				continue
			}
			if !errors.Is(err, jetstream.ErrStreamNotFound) || !e.find(ctx, js, want) {
				return nil // apply meets it again
			}
		}
	}
	if len(e.Overlaps) > 0 {
		return &e
	}
	return nil
}

// Overlaps returns the subjects of a missing stream that other streams have. It returns
// none for a stream that is not ours, or if the server does not answer.
func Overlaps(ctx context.Context, js jetstream.JetStream, stream string) []Overlap {
	var e OverlapError
	for _, s := range []set{service, mark, budget, trigger} {
		wanted, err := s.streams()
		if err != nil {
			return nil // the definitions are part of the program
		}
		for _, want := range wanted {
			if want.Name == stream {
				e.find(ctx, js, want)
			}
		}
	}
	return e.Overlaps
}

// find adds the streams that have subjects of a missing one. It reports whether the
// server answered.
func (e *OverlapError) find(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) bool {
	ctx, cancel := context.WithTimeout(ctx, namesPatience)
	defer cancel()
	for _, subject := range want.Subjects {
		other, err := js.StreamNameBySubject(ctx, subject)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
		case err != nil:
			return false
		case other != want.Name: // else another replica has made it
			e.Overlaps = append(e.Overlaps, Overlap{Stream: want.Name, Subject: subject, Other: other})
		}
	}
	return true
}
