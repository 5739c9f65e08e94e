package simulator

import (
	"cmp"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A LifeRule gives a share of the jobs a life.
type LifeRule struct {
	// Client and Subclient select jobs by names; "*" matches any text, as path.Match does.
	// Empty names match every job.
	Client, Subclient string
	Life              Life
	// Probability is the share of the selected jobs, 0 to 1.
	Probability float64
}

// lives decides which life a job gets.
type lives struct {
	seed   int64
	usual  *course // Running, then Completed
	script []*course
	rules  []lifeRule
}

type lifeRule struct {
	LifeRule
	course *course
}

// next returns the course of a new job: the next one of the script, or one by the rules, or
// the default. The draw depends on the job's description, or its number without one, so
// that concurrent calls don't change it.
func (l *lives) next(g *group, description string, number int) *course {
	if len(l.script) > 0 {
		c := l.script[0]
		l.script = l.script[1:]
		return c
	}
	if len(l.rules) == 0 {
		return l.usual
	}
	hash := fnv.New64a()
	_, _ = hash.Write([]byte(cmp.Or(description, strconv.Itoa(number)))) // never fails
	draw := rand.New(rand.NewPCG(uint64(l.seed), hash.Sum64())).Float64()
	for _, rule := range l.rules {
		if !matches(rule.Client, g.set.client.name) || !matches(rule.Subclient, g.name) {
			continue
		}
		if draw < rule.Probability {
			return rule.course
		}
		draw -= rule.Probability
	}
	return l.usual
}

func matches(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	matched, err := path.Match(strings.ToLower(pattern), strings.ToLower(name))
	return err == nil && matched
}

// ScriptLives sets the lives of the next jobs, one for each job, after those that are set
// already. They precede those by SetLives. A fault that gives a job an end precedes both.
func (s *Simulator) ScriptLives(next ...Life) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range next {
		s.lives.script = append(s.lives.script, newCourse(l, s.cfg.JobDuration))
	}
}

// SetLives replaces the lives that new jobs get by chance. The shares of the rules that
// select a job add up; the rest run and complete.
func (s *Simulator) SetLives(rules []LifeRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lives.set(rules, s.cfg.JobDuration)
}

func (l *lives) set(rules []LifeRule, byDefault time.Duration) {
	l.rules = nil
	for _, r := range rules {
		l.rules = append(l.rules, lifeRule{r, newCourse(r.Life, byDefault)})
	}
}

// The words of ParseLife.
var (
	stepWords = map[string]string{
		"queued": statusQueued, "waiting": statusWaiting, "pending": statusPending, "running": statusRunning,
		"suspend-pending": statusSuspending, "suspended": statusSuspended, "kill-pending": statusKilling,
		"interrupt-pending": statusInterruptPending, "interrupted": statusInterrupted,
		"unverified": statusRunningUnverified,
	}
	endWords = map[string]string{
		"completed": statusCompleted, "completed-with-warnings": statusWithWarnings, "completed-with-errors": statusWithErrors,
		"committed": statusCommitted, "failed": statusFailed, "failed-to-start": statusFailedToStart, "killed": statusKilled,
		"no-run": statusNoRun, "empty": statusCompleted,
	}
)

// ParseLife reads a life such as
//
//	waiting:30s,pending:2m(13:30 No contact with the MediaAgent),running:5m,killed(ann not needed)
//
// Its parts are steps, at most one end, and what happens after the end:
//
//	queued waiting pending running suspended interrupted suspend-pending kill-pending
//	interrupt-pending unverified    a step
//	hidden                          a step: the job runs, and no job request knows it
//	other(Text)                     a step with any status
//	as(Full)                        no step: the vendor runs another level than was asked
//	completed completed-with-warnings completed-with-errors committed failed
//	failed-to-start(14) killed no-run  an end
//	empty                           an end: Completed without having moved anything
//	ended(Text)                     an end with any status
//	hidden:2m aged:1h pruned:1h     after the end: not shown for a time; aged or gone after it
//	resubmitted                     after the end: the backup runs again under a new job id
//
// A step takes a time, or "forever"; without one it takes Config.JobDuration. The reason
// follows in parentheses, with its code first if it has one; after suspended and killed the
// first word is the user. A life without an end stays in its last step. An end without a
// step runs first, except failed-to-start and no-run.
func ParseLife(text string) (Life, error) {
	var l Life
	for _, part := range splitOutside(text, ',') {
		if err := l.add(strings.TrimSpace(part)); err != nil {
			return Life{}, fmt.Errorf("life %q: %w", text, err)
		}
	}
	if len(l.Steps) == 0 && l.End.Status != statusFailedToStart && l.End.Status != statusNoRun {
		l.Steps = []Step{{Status: statusRunning}} // as(Full) alone completes
		if l.End.Status == "" {
			l.End.Status = statusCompleted
		}
	}
	return l, nil
}

// MustParseLife is like ParseLife and panics on an error. It is for tests.
func MustParseLife(text string) Life {
	l, err := ParseLife(text)
	if err != nil {
		panic("simulator: " + err.Error())
	}
	return l
}

// splitOutside splits a text at separators outside of parentheses.
func splitOutside(text string, separator rune) (parts []string) {
	depth, first := 0, 0
	for i, r := range text {
		switch {
		case r == '(':
			depth++
		case r == ')':
			depth--
		case r == separator && depth <= 0:
			parts = append(parts, text[first:i])
			first = i + 1
		}
	}
	return append(parts, text[first:])
}

// add reads one part.
func (l *Life) add(part string) error {
	head, inside, hasInside := strings.Cut(part, "(")
	if hasInside {
		var closed bool
		if inside, closed = strings.CutSuffix(inside, ")"); !closed || strings.ContainsAny(inside, "()") {
			return fmt.Errorf("part %q must end with its only closing parenthesis", part)
		}
	}
	word, span, timed := strings.Cut(strings.TrimSpace(head), ":")
	after, err := parseSpan(span, timed)
	if err != nil {
		return err
	}
	inside = strings.TrimSpace(inside)
	ended := l.End.Status != ""
	status, isStep := stepWords[word]
	end, isEnd := endWords[word]
	switch {
	case ended:
		return l.addLater(word, after, timed, hasInside)
	case isStep:
		l.Steps = append(l.Steps, stepOf(status, after, inside))
	case word == "hidden":
		l.Steps = append(l.Steps, Step{Status: statusRunning, For: after, Hidden: true})
	case word == "as" && !timed:
		return l.setLevel(inside)
	case word == "other" && inside != "":
		l.Steps = append(l.Steps, Step{Status: inside, For: after})
	case timed:
		return fmt.Errorf("an unknown step %q", word)
	case word == "ended" && inside != "":
		l.End.Status = inside
	case isEnd:
		return l.addEnd(word, end, inside)
	default:
		return fmt.Errorf("unknown word %q: must be a step (%s, hidden, other(TEXT)) or an end (%s, ended(TEXT))", word, words(stepWords), words(endWords))
	}
	return nil
}

func (l *Life) setLevel(name string) error {
	for i := range levels {
		if levels[i].nameInAnswer == name {
			l.Level = name
			return nil
		}
	}
	return fmt.Errorf("as(%s): must be one of Full, Incremental, Differential, Synthetic Full", name)
}

func parseSpan(text string, timed bool) (time.Duration, error) {
	switch {
	case !timed:
		return 0, nil
	case text == "forever":
		return Forever, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	return max(d, 1), nil // zero would be the default
}

func stepOf(status string, after time.Duration, inside string) Step {
	step := Step{Status: status, For: after}
	if status == statusSuspended {
		step.By, step.Reason, _ = strings.Cut(inside, " ")
		return step
	}
	step.Code, step.Reason = splitCode(inside)
	return step
}

// splitCode separates a code such as 13:30 from the text after it.
func splitCode(inside string) (code, text string) {
	code, text, _ = strings.Cut(inside, " ")
	facility, number, found := strings.Cut(code, ":")
	if _, err := strconv.Atoi(facility + number); err != nil || !found {
		return "", inside
	}
	return code, text
}

func (l *Life) addEnd(word, status, inside string) error {
	l.End.Status, l.End.Empty = status, word == "empty"
	switch {
	case status == statusKilled:
		l.End.By, l.End.Reason, _ = strings.Cut(inside, " ")
	case status == statusFailedToStart && inside != "":
		code, text, _ := strings.Cut(inside, " ")
		n, err := strconv.Atoi(code)
		if err != nil {
			return fmt.Errorf("%q is not a submit error code", code)
		}
		l.End.SubmitError, l.End.Reason = n, text
	default:
		l.End.Code, l.End.Reason = splitCode(inside)
	}
	return nil
}

func (l *Life) addLater(word string, after time.Duration, timed, hasInside bool) error {
	later := &l.End.Later
	if word == "resubmitted" && !timed && !hasInside {
		later.Resubmitted = true
		return nil
	}
	if !timed || hasInside || after == Forever {
		return fmt.Errorf("%q after the end: must be hidden:TIME, aged:TIME, pruned:TIME or resubmitted", word)
	}
	switch word {
	case "hidden":
		later.HiddenFor = after
	case "aged":
		later.AgedAfter = after
	case "pruned":
		later.PrunedAfter = after
	default:
		return fmt.Errorf("%q after the end: must be hidden, aged, pruned or resubmitted", word)
	}
	return nil
}

func words(m map[string]string) string {
	var list []string
	for word := range m {
		list = append(list, word)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// ParseLives reads rules such as
//
//	failed=0.05;load-*/pending:2m,completed=0.1;clients-*/load-*/waiting:1m,killed(ann)=1
//
// Each is [[client/]subclient/]life=probability. The empty text means no rules.
func ParseLives(text string) ([]LifeRule, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var rules []LifeRule
	for _, part := range splitOutside(text, ';') {
		r, err := parseLifeRule(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("lives %q: %w", part, err)
		}
		rules = append(rules, r)
	}
	return rules, nil
}

func parseLifeRule(part string) (r LifeRule, err error) {
	equals := strings.LastIndexByte(part, '=')
	if equals < 0 {
		return r, errors.New("must be life=probability")
	}
	if r.Probability, err = strconv.ParseFloat(part[equals+1:], 64); err != nil || !(r.Probability >= 0 && r.Probability <= 1) {
		return r, fmt.Errorf("the probability %q must be between 0 and 1", part[equals+1:])
	}
	pieces := splitOutside(part[:equals], '/')
	switch len(pieces) {
	case 1:
	case 2:
		r.Subclient = pieces[0]
	case 3:
		r.Client, r.Subclient = pieces[0], pieces[1]
	default:
		return r, errors.New("must be [[client/]subclient/]life=probability")
	}
	for _, pattern := range pieces[:len(pieces)-1] {
		if _, err := path.Match(pattern, ""); err != nil {
			return r, fmt.Errorf("pattern %q: %w", pattern, err)
		}
	}
	r.Life, err = ParseLife(pieces[len(pieces)-1])
	return r, err
}

// ParseLifeScript reads lives for ScriptLives, separated by ";".
func ParseLifeScript(text string) ([]Life, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var next []Life
	for _, part := range splitOutside(text, ';') {
		l, err := ParseLife(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}
		next = append(next, l)
	}
	return next, nil
}
