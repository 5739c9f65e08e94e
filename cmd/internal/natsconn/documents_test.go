package natsconn

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"backhaul/publisher"
)

func deployed(t *testing.T, name ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "deploy", filepath.Join(name...)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The inbox prefixes that are tried are those of the roles.
func TestDocumentedUsers_areTheRoles(t *testing.T) {
	t.Parallel()
	var prefixes []string
	for _, found := range regexp.MustCompile(`"(_INBOX_[^.]+)\.>"`).FindAllStringSubmatch(deployed(t, "nats", "roles.conf"), -1) {
		prefixes = append(prefixes, found[1])
	}
	var tried []string
	for _, user := range documentedUsers {
		tried = append(tried, "_INBOX_"+user)
	}
	slices.Sort(prefixes)
	slices.Sort(tried)
	if len(prefixes) < 10 || !slices.Equal(tried, prefixes) {
		t.Errorf("the prefixes %q are tried, roles.conf has %q", tried, prefixes)
	}
}

// The words of an error lead to the section of the runbook about it.
func TestErrors_areInTheRunbook(t *testing.T) {
	t.Parallel()
	denied := fmt.Errorf("%w: Permissions Violation for Publish to %q", nats.ErrPermissionViolation, "backup.request.billing")
	storage := func(code jetstream.ErrorCode, text string) error {
		return Explained(&jetstream.APIError{Code: 503, ErrorCode: code, Description: text})
	}
	for heading, errs := range map[string]map[string]error{
		"## The service or a command is refused since NATS has users": {
			"where its answers arrive":                         &InboxError{Server: "s", Prefix: "_INBOX", Err: denied},
			"this user may use another inbox prefix":           &InboxError{Server: "s", Prefix: "_INBOX", Permitted: "_INBOX_billing", Err: denied},
			"set the inbox prefix that is permitted":           &InboxError{Server: "s", Prefix: "_INBOX", Err: denied},
			"refuses this user: nats: Authorization Violation": &UnreachableError{What: "s", Err: nats.ErrAuthorization},
			"not permitted to this NATS user":                  Explained(denied),
			"grant publish on":                                 Explained(denied),
			"JetStream not enabled for account":                Explained(jetstream.ErrJetStreamNotEnabledForAccount),
			"Permissions Violation for Publish to":             denied,
			"is out of reach":                                  &UnreachableError{What: "s", Err: errors.New("i/o timeout")},
		},
		"## Publishers are refused with insufficient resources": {
			"insufficient resources":               storage(10023, "insufficient resources"),
			"resource limits exceeded for account": storage(10002, "resource limits exceeded for account"),
			"the storage of the server or account is used up: raise max_file_store or the account's limit": storage(10023, "insufficient resources"),
			"the NATS server does not store it": errors.New(publisher.SilenceHint),
		},
	} {
		_, section, found := strings.Cut(deployed(t, "RUNBOOK.md"), "\n"+heading+"\n")
		if !found {
			t.Errorf("the runbook has no %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		for words, err := range errs {
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(words)) { // the server has capital letters
				t.Errorf("the error is %q, without %q", err, words)
			}
			if !strings.Contains(strings.Join(strings.Fields(section), " "), words) {
				t.Errorf("%s does not have %q", heading, words)
			}
		}
	}
}
