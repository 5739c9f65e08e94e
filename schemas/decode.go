package schemas

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// Limits of a request's members, in characters. schemas/backup-request.v1.json
// has the same numbers; TestRequestSchemaAndDecoderAgree compares the verdicts.
const (
	maxName       = 256
	maxPath       = 4096
	maxLabels     = 32
	maxLabelValue = 256
)

var (
	levels   = []string{LevelFull, LevelIncremental, LevelDifferential, LevelSyntheticFull}
	labelKey = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$`)
	// dateTime is narrower than RFC 3339 where its readers differ: upper case
	// letters only and no leap second.
	dateTime = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)
)

// requestReader reads one request's members. It goes on after a problem, so
// that one error names everything that has to be mended.
type requestReader struct {
	dec        *jsontext.Decoder
	at         string // pointer of the request inside the message
	req        BackupRequest
	adHocGiven bool
	problems   problems
}

// members is the request's contract: every member and how it is read.
var members = map[string]func(*requestReader){
	"requestId":         func(r *requestReader) { r.name(&r.req.RequestID) },
	"clientName":        func(r *requestReader) { r.name(&r.req.ClientName) },
	"instanceName":      func(r *requestReader) { r.name(&r.req.InstanceName) },
	"backupsetName":     func(r *requestReader) { r.name(&r.req.BackupsetName) },
	"subclientName":     func(r *requestReader) { r.name(&r.req.SubclientName) },
	"storagePolicyName": func(r *requestReader) { r.name(&r.req.StoragePolicyName) },
	"appName":           func(r *requestReader) { r.name(&r.req.AppName) },
	"backupLevel":       func(r *requestReader) { r.level() },
	"adHocBackup":       func(r *requestReader) { r.adHoc() },
	"onDemandInputFile": func(r *requestReader) { r.path() },
	"notAfter":          func(r *requestReader) { r.time() },
	"labels":            func(r *requestReader) { r.labels() },
}

// decodeRequest reads a plain JSON request that stands at the pointer at of a
// message. What could be read is returned even with an error, so that the event
// about an invalid request names as much as is known of it.
func decodeRequest(data []byte, at string) (BackupRequest, problems) {
	r := &requestReader{
		dec: jsontext.NewDecoder(bytes.NewBuffer(data)),
		at:  at,
		req: BackupRequest{
			BackupsetName: DefaultBackupsetName,
			AppName:       DefaultAppName,
			BackupLevel:   DefaultBackupLevel,
		},
	}
	if err := r.read(); err != nil {
		r.problems.add(at, "%s", syntaxText(err))
		return r.req, r.problems
	}
	if r.req.ClientName == "" && !r.mentions("/clientName") {
		r.problems.add(at+"/clientName", "is required: the name of the object storage client")
	}
	if r.req.SubclientName == "" && !r.mentions("/subclientName") {
		r.problems.add(at+"/subclientName", "is required: the name of the content group")
	}
	r.req.normalise(r.adHocGiven)
	return r.req, r.problems
}

func (r *requestReader) read() error {
	if kind := r.dec.PeekKind(); kind != '{' && kind != 0 {
		r.problem("must be a JSON object, not %s", kindName(kind))
		return finish(r.dec)
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	for r.dec.PeekKind() != '}' {
		token, err := r.dec.ReadToken()
		if err != nil {
			return err
		}
		name := token.String()
		if readMember, ok := members[name]; ok {
			readMember(r)
		} else {
			r.problem("is not a member of a backup request%s", suggest(name))
		}
		if err := finishValue(r.dec); err != nil {
			return err
		}
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return err
	}
	return finish(r.dec)
}

// problem notes what is wrong with the member that was read last.
func (r *requestReader) problem(format string, args ...any) {
	r.problems.add(r.at+string(r.dec.StackPointer()), format, args...)
}

func (r *requestReader) mentions(field string) bool {
	return slices.ContainsFunc(r.problems, func(p Problem) bool { return p.Field == r.at+field })
}

// text reads a string of 1 to limit characters that XML 1.0 can carry; the
// vendor's wire format is XML.
func (r *requestReader) text(limit int) (string, bool) {
	if kind := r.dec.PeekKind(); kind != '"' {
		if kind != 0 {
			r.problem("must be a string, not %s", kindName(kind))
		}
		return "", false
	}
	token, err := r.dec.ReadToken()
	if err != nil {
		return "", false // met again, and reported, by finishValue
	}
	s := token.String()
	if fault := textFault(s, limit); fault != "" {
		r.problem("%s", fault)
		return "", false
	}
	return s, true
}

// textFault says what is wrong with a text, "" when nothing is.
func textFault(s string, limit int) string {
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
		return "must not be empty; leave it out for the default"
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

func (r *requestReader) name(field *string) {
	if s, ok := r.text(maxName); ok {
		*field = s
	}
}

func (r *requestReader) level() {
	s, ok := r.text(maxName)
	if !ok {
		return
	}
	if !slices.Contains(levels, s) {
		r.problem("is %q, must be one of %s", s, strings.Join(levels, ", "))
		return
	}
	r.req.BackupLevel = s
}

func (r *requestReader) adHoc() {
	switch kind := r.dec.PeekKind(); kind {
	case 't', 'f':
		r.req.AdHocBackup, r.adHocGiven = kind == 't', true
	case 0: // met again, and reported, by finishValue
	default:
		r.problem("must be true or false, not %s", kindName(kind))
	}
}

func (r *requestReader) path() {
	s, ok := r.text(maxPath)
	if !ok {
		return
	}
	if s[0] != '/' {
		r.problem("is %q, must be an absolute path such as /container/directive.txt", s)
		return
	}
	r.req.OnDemandInputFile = s
}

func (r *requestReader) time() {
	s, ok := r.text(maxName)
	if !ok {
		return
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || !dateTime.MatchString(s) {
		r.problem("is %q, must be a time such as 2026-11-24T00:00:00Z", s)
		return
	}
	r.req.NotAfter = t.UTC()
}

func (r *requestReader) labels() {
	if kind := r.dec.PeekKind(); kind != '{' {
		if kind != 0 {
			r.problem("must be an object of strings, not %s", kindName(kind))
		}
		return
	}
	if _, err := r.dec.ReadToken(); err != nil {
		return
	}
	at := r.at + string(r.dec.StackPointer())
	labels := make(map[string]string)
	for r.dec.PeekKind() == '"' {
		token, err := r.dec.ReadToken()
		if err != nil {
			return
		}
		key := token.String()
		if !labelKey.MatchString(key) {
			r.problem("is not a label name: 1 to 63 letters, digits and . _ / -, starting with a letter or digit")
		}
		if value, ok := r.text(maxLabelValue); ok {
			labels[key] = value
		} else {
			labels[key] = ""
		}
		if finishValue(r.dec) != nil {
			return
		}
	}
	_, _ = r.dec.ReadToken() // the closing brace; an error is met again by the caller
	switch {
	case len(labels) > maxLabels:
		r.problems.add(at, "has %d labels, the limit is %d", len(labels), maxLabels)
	case len(labels) > 0:
		r.req.Labels = labels
	}
}

// finishValue skips what is left of the member that a reader was given: all of
// it when the reader did not take it.
func finishValue(dec *jsontext.Decoder) error {
	kind, length := dec.StackIndex(dec.StackDepth())
	if kind == '{' && length%2 == 1 { // a name without its value yet
		return dec.SkipValue()
	}
	return nil
}

// finish refuses anything behind the document.
func finish(dec *jsontext.Decoder) error {
	if dec.StackDepth() == 0 && dec.PeekKind() != 0 && dec.InputOffset() == 0 {
		if err := dec.SkipValue(); err != nil { // a document that is no object
			return err
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			return errors.New("more than one JSON document")
		}
		return err
	}
	return nil
}

// syntaxText words a JSON error with the place where it was found.
func syntaxText(err error) string {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		where := fmt.Sprintf("at byte %d", syntax.ByteOffset)
		if syntax.JSONPointer != "" {
			where += " in " + string(syntax.JSONPointer)
		}
		return fmt.Sprintf("is not valid JSON: %v %s", syntax.Err, where)
	}
	if errors.Is(err, io.EOF) {
		return "is empty, must be a JSON object"
	}
	return "is not valid JSON: " + err.Error()
}

func kindName(kind jsontext.Kind) string {
	switch kind {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '[':
		return "an array"
	case '{':
		return "an object"
	default:
		return "anything else"
	}
}

// suggest names the member that was probably meant.
func suggest(name string) string {
	best, distance := "", 3
	for member := range members {
		if d := editDistance(strings.ToLower(name), strings.ToLower(member)); d < distance || d == distance && member < best {
			best, distance = member, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance is the Levenshtein distance of two short strings; very long
// ones are simply far apart.
func editDistance(a, b string) int {
	if len(a) > 64 {
		return len(a)
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
