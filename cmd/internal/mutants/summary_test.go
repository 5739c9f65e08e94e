package mutants

import "fmt"

// least is the part of an area's mutants that its tests must kill, in percent.
const least = 95

// Summary counts the outcomes of an area.
type Summary struct {
	Area string

	Killed, Survived, Equivalent int
	// Timeouts are the names of those that only a timeout killed.
	Timeouts []string
}

// Add counts the outcome of a mutant.
func (s *Summary) Add(m Mutant, o Outcome) {
	if !o.Killed {
		s.Survived++
		return
	}
	s.Killed++
	if o.By == "timeout" {
		s.Timeouts = append(s.Timeouts, m.Name)
	}
}

// String returns the summary as one line.
func (s Summary) String() string {
	text := fmt.Sprintf("%s: %d of %d killed", s.Area, s.Killed, s.Killed+s.Survived)
	if s.Equivalent > 0 {
		text += fmt.Sprintf(", %d equivalent", s.Equivalent)
	}
	for i, name := range s.Timeouts {
		if i == 0 {
			text += fmt.Sprintf("; %d only by a timeout:", len(s.Timeouts))
		}
		text += fmt.Sprintf(" %q", name)
	}
	return text
}

// Err returns an error if a mutant survived or too few were killed.
func (s Summary) Err() error {
	switch total := s.Killed + s.Survived; {
	case 100*s.Killed < least*total:
		return fmt.Errorf("%s: fewer than %d %% are killed", s.Area, least)
	case s.Survived > 0:
		return fmt.Errorf("%s: %d survived: add a test, or a line (=) that states why no test can find it", s.Area, s.Survived)
	}
	return nil
}
