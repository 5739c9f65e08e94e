package trigger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// triedStore notes what is put, and refuses one container.
type triedStore struct {
	put     []string
	refuses string
}

func (s *triedStore) Put(_ context.Context, container, name string, data []byte) error {
	s.put = append(s.put, container+"/"+name)
	if container == s.refuses || len(data) == 0 {
		return errors.New("refused")
	}
	return nil
}

func TestTryDirectives(t *testing.T) {
	rs := parse(t, `routes:
- {container: a, directive: {container: a, prefix: .b/}`+to("a")+
		`- {container: aa, directive: {container: a, prefix: .b/}`+to("aa")+
		`- {container: b, directive: {container: lists, prefix: x/}`+to("b")+
		`- {container: c`+to("c")+
		`- {container: team-*, clientName: c, subclientName: "{container}", directive: {container: "{container}", prefix: .b/}}
`)
	store := &triedStore{refuses: "lists"}
	tried, untried := TryDirectives(t.Context(), store, rs)
	if !slices.Equal(store.put, []string{"a/.b/backhaul-check.txt", "lists/x/backhaul-check.txt"}) || untried != 1 || len(tried) != 2 || tried[0].Err != nil || tried[1].Err == nil {
		t.Errorf("wrote %q, got %+v, %d untried", store.put, tried, untried)
	}
	// What was written starts nothing.
	if _, reason := rs.Match(Change{Kind: KindCreated, Container: "a", Key: ".b/backhaul-check.txt"}); reason != ReasonDirective {
		t.Errorf("the object is %s", reason)
	}
	var text strings.Builder
	text.WriteString("routes:\n")
	for i := range maxTried + 3 {
		fmt.Fprintf(&text, "- {container: b%d, directive: {container: b%d, prefix: x/}%s", i, i, to(fmt.Sprint("g", i)))
	}
	if tried, untried := TryDirectives(t.Context(), &triedStore{}, parse(t, text.String())); len(tried) != maxTried || untried != 3 {
		t.Errorf("%d tried, %d not", len(tried), untried)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if tried, _ := TryDirectives(gone, &triedStore{refuses: "a"}, rs); len(tried) != 0 {
		t.Errorf("after the end: %+v", tried)
	}
}
