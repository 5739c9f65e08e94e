// Package operator says who acts, and why, for the record.
//
// Nothing is proved by it: whoever may publish the event may write any name into
// it. NATS permissions decide who may act at all.
package operator

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"unicode/utf8"
)

// By is who acts and why.
type By struct {
	Actor  string
	Reason string
}

const (
	maxActor  = 256  // characters
	maxReason = 1024 // characters
)

// Check refuses what does not belong on the record.
func (b By) Check() error {
	switch {
	case strings.TrimSpace(b.Actor) == "":
		return errors.New("it must be known who acts: the name is empty")
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

// Default is the user of this process at this host.
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
