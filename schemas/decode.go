package schemas

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Limits of a request's members, in characters. schemas/backup-request.v1.json
// has the same numbers; TestDecodeRequest_agreesWithTheSchema compares the verdicts.
const (
	maxName       = 256
	maxPath       = 4096
	maxLabels     = 32
	maxLabelKey   = 63
	maxLabelValue = 256
)

var (
	levels = []string{LevelFull, LevelIncremental, LevelDifferential, LevelSyntheticFull}
	// dateTime is narrower than RFC 3339 where its readers differ: upper case
	// letters only, no leap second, no year that some of them cannot hold.
	dateTime = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^[1-9]\d{3}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
	})
	// An offset may carry a time into another year. dateTimeInUTC keeps that
	// away from the ends of the calendar, where UTC would need a fifth digit.
	dateTimeInUTC = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^2|(Z|[+-]00:00)$`) })
)

// requestReader reads one backup request.
type requestReader struct {
	reader
	req        BackupRequest
	adHocGiven bool
	notes      *problems
}

// note keeps what is wrong at the pointer with something that is not used.
func (r *requestReader) note(text string) {
	if r.notes.full() {
		r.notes.more()
		return
	}
	r.notes.add(r.pointer(), "%s", text)
}

// members is the request's contract: every member and how it is read.
var members = map[string]func(*requestReader) error{
	"requestId":         func(r *requestReader) error { return r.name(&r.req.RequestID) },
	"clientName":        func(r *requestReader) error { return r.name(&r.req.ClientName) },
	"instanceName":      func(r *requestReader) error { return r.name(&r.req.InstanceName) },
	"backupsetName":     func(r *requestReader) error { return r.name(&r.req.BackupsetName) },
	"subclientName":     func(r *requestReader) error { return r.name(&r.req.SubclientName) },
	"storagePolicyName": func(r *requestReader) error { return r.name(&r.req.StoragePolicyName) },
	"appName":           func(r *requestReader) error { return r.name(&r.req.AppName) },
	"backupLevel":       (*requestReader).level,
	"adHocBackup":       (*requestReader).adHoc,
	"onDemandInputFile": (*requestReader).path,
	"notAfter":          (*requestReader).time,
	"labels":            (*requestReader).labels,
}

// request reads the request that comes next. What is in order is kept even when
// something else is not, so that the event about an invalid request names as
// much as is known of it.
func (r *requestReader) request() error {
	at := r.pointer()
	if !r.is('{', "a JSON object") {
		return r.dec.SkipValue()
	}
	err := r.object(func(name string) error {
		read, ok := members[name]
		switch {
		case !ok && name == "type" && r.dec.PeekKind() == '"':
			return r.serverType()
		case !ok:
			r.problem("is not a member of a backup request%s", suggestion(name))
			return nil
		default:
			return read(r)
		}
	})
	if err != nil {
		return err
	}
	if field := at + "/clientName"; r.req.ClientName == "" && !r.problems.has(field) {
		r.problems.add(field, "is required: the name of the object storage client")
	}
	if field := at + "/subclientName"; r.req.SubclientName == "" && !r.problems.has(field) {
		r.problems.add(field, "is required: the name of the content group")
	}
	return nil
}

// serverType reads the member type, which no request has and every answer of a NATS
// server has. See deploy/nats/README.md, Reply subjects, for how one comes here.
func (r *requestReader) serverType() error {
	s, _, err := r.str()
	switch {
	case err != nil:
		return err
	case strings.HasPrefix(s, ServerTypePrefix):
		r.problem("is %.100q: this is an answer of the NATS server, not a backup request", s)
	default:
		r.problem("is not a member of a backup request%s", suggestion("type"))
	}
	return nil
}

// text reads a string of 1 to limit characters, "" when it is something else.
func (r *requestReader) text(limit int) (string, error) {
	s, ok, err := r.str()
	if !ok {
		return "", err
	}
	if fault := textFault(s, limit); fault != "" {
		r.problem("%s", fault)
		return "", nil
	}
	return s, nil
}

// textFault says what is wrong with a text, "" when nothing is. The vendor's
// wire format is XML 1.0, which cannot carry every character.
func textFault(s string, limit int) string {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "must not be empty"
	case n > limit:
		return fmt.Sprintf("has %d characters, the limit is %d", n, limit)
	case strings.ContainsFunc(s, notInXML):
		return "must not have control characters"
	case !utf8.ValidString(s):
		return "must be UTF-8"
	default:
		return ""
	}
}

func notInXML(c rune) bool { return c < 0x20 || c == 0x7f || c == 0xfffe || c == 0xffff }

func (r *requestReader) name(field *string) (err error) {
	*field, err = r.text(maxName)
	return err
}

func (r *requestReader) level() error {
	s, err := r.text(maxName)
	if s == "" {
		return err
	}
	if !slices.Contains(levels, s) {
		r.problem("is %.100q, must be one of %s", s, strings.Join(levels, ", "))
		return nil
	}
	r.req.BackupLevel = s
	return nil
}

func (r *requestReader) adHoc() error {
	yes := r.dec.PeekKind() == 't'
	if yes || r.is('f', "true or false") {
		r.req.AdHocBackup, r.adHocGiven = yes, true
	}
	return nil
}

func (r *requestReader) path() error {
	s, err := r.text(maxPath)
	if s == "" {
		return err
	}
	if s[0] != '/' {
		r.problem("is %.100q, must be an absolute path such as /container/directive.txt", s)
		return nil
	}
	r.req.OnDemandInputFile = s
	return nil
}

func (r *requestReader) time() error {
	s, err := r.text(maxName)
	if s == "" {
		return err
	}
	t, err := time.Parse(time.RFC3339, s)
	switch {
	case err != nil || !dateTime().MatchString(s):
		r.problem("is %.100q, must be a time such as 2026-11-24T00:00:00Z", s)
	case !dateTimeInUTC().MatchString(s):
		r.problem("is %q, must be in UTC (with a Z at the end) outside the years 2000 to 2999", s)
	default:
		r.req.NotAfter = t.UTC()
	}
	return nil
}

func (r *requestReader) labels() error {
	if !r.is('{', "an object of strings") {
		return nil
	}
	at, count := r.pointer(), 0
	labels := make(map[string]string)
	err := r.object(func(key string) error {
		count++
		if !isLabelKey(key) {
			r.problem("is not a label name: 1 to 63 letters, digits and . _ / -, starting with a letter or digit")
			return nil
		}
		value, err := r.text(maxLabelValue)
		if value != "" {
			labels[key] = value
		}
		return err
	})
	if err != nil {
		return err
	}
	if count > maxLabels {
		r.problems.add(at, "has %d labels, the limit is %d", count, maxLabels)
	} else if len(labels) > 0 {
		r.req.Labels = labels
	}
	return nil
}

// isLabelKey reports whether s is ^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$.
func isLabelKey(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && strings.IndexByte("._/-", c) >= 0:
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxLabelKey
}

// memberNames are the names of all members, prepared for suggestions.
var memberNames = NewNames(slices.Sorted(maps.Keys(members)))

// suggestion is the name of an unknown member. Its text proposes the member that was
// probably meant; it is computed only if the problem that has it is kept.
type suggestion string

func (s suggestion) String() string {
	if best := memberNames.Nearest(string(s)); best != "" {
		return "; did you mean " + best + "?"
	}
	return ""
}
