// Package operator names the person who performs an action and the reason, for the
// events on record.
//
// The name is not authenticated: every NATS user that may publish the event can write
// any name into it. NATS permissions decide who may act.
package operator

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"unicode/utf8"
)

// By names who acts and why.
type By struct {
	Actor  string
	Reason string
}

const (
	maxActor  = 256  // characters
	maxReason = 1024 // characters
)

// Check returns an error if the actor or the reason is not fit for the record.
func (b By) Check() error {
	switch {
	case strings.TrimSpace(b.Actor) == "":
		return errors.New("the actor is empty: it must name who acts")
	case utf8.RuneCountInString(b.Actor) > maxActor:
		return fmt.Errorf("the actor has more than %d characters", maxActor)
	case utf8.RuneCountInString(b.Reason) > maxReason:
		return fmt.Errorf("the reason has more than %d characters", maxReason)
	case strings.ContainsFunc(b.Actor+b.Reason, isControl) || !utf8.ValidString(b.Actor+b.Reason):
		return errors.New("actor and reason must be text on one line")
	}
	return nil
}

func isControl(c rune) bool { return c < ' ' || c >= 0x7f && c < 0xa0 }

// Default returns the user and host of this process as user@host.
func Default() string {
	name := fmt.Sprintf("uid-%d", os.Getuid())
	if current, err := user.Current(); err == nil && current.Username != "" {
		name = current.Username
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	return name + "@" + host
}
