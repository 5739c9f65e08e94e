package validate

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// place is a value that a problem is about, or a value around one.
type place struct {
	line  int // counted from the first line of the document
	found bool
	below map[string]*place // by the member's name or the element's index
}

// locate sets the line of each problem in a document that begins at a line: that of its
// value, or of the nearest value around it if the document does not have it.
//
// One pass over the document finds all of them. Only the pointers of problems are kept:
// those of all values together may be ten thousand times as long as the document.
func locate(problems []Problem, document jsontext.Value, line int) {
	root := place{found: true}
	for _, p := range problems {
		at := &root
		for _, token := range tokensOf(p.Pointer) {
			next := at.below[token]
			if next == nil {
				next = &place{}
				if at.below == nil {
					at.below = make(map[string]*place)
				}
				at.below[token] = next
			}
			at = next
		}
	}
	root.find(document)
	for i, p := range problems {
		at := &root
		for _, token := range tokensOf(p.Pointer) {
			next := at.below[token]
			if !next.found {
				break
			}
			at = next
		}
		problems[i].Line = line + at.line
	}
}

// tokensOf takes a JSON pointer apart.
func tokensOf(pointer string) []string {
	if pointer == "" {
		return nil
	}
	tokens := strings.Split(pointer[1:], "/")
	for i := range tokens {
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(tokens[i])
	}
	return tokens
}

// find notes the lines of the places in a document, up to where it is not JSON.
func (root *place) find(document jsontext.Value) {
	// open is an object or array that is not at its end.
	type open struct {
		at    *place // nil if no place is in it
		next  *place // of the member whose name was read last
		array bool
		count int
	}
	var stack []open
	dec := jsontext.NewDecoder(bytes.NewReader(document), sameNames)
	line, counted := 0, 0
	for {
		token, err := dec.ReadToken()
		if err != nil {
			return
		}
		end := int(dec.InputOffset())
		line += bytes.Count(document[counted:end], []byte("\n"))
		counted = end

		kind := token.Kind()
		if kind == '}' || kind == ']' {
			stack = stack[:len(stack)-1]
			continue
		}
		here := root // what the token stands for
		if len(stack) > 0 {
			top := &stack[len(stack)-1]
			isName := !top.array && top.count%2 == 0
			switch {
			case top.at == nil:
				here = nil
			case isName:
				here = top.at.below[token.String()]
				top.next = here
			case top.array:
				here = top.at.below[strconv.Itoa(top.count)]
			default:
				here = top.next
			}
			top.count++
			if here != nil && !here.found {
				here.line, here.found = line, true
			}
			if isName {
				continue
			}
		}
		if kind == '{' || kind == '[' {
			stack = append(stack, open{at: here, array: kind == '['})
		}
	}
}
