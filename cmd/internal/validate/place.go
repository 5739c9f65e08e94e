package validate

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// place is a value with a problem, or a value that contains one.
type place struct {
	line  int // counted from the first line of the document
	found bool
	below map[string]*place // by member name or element index
}

// locate sets the line of each problem in a document that begins at the given line. It is
// the line of the problem's value or, if the document lacks that value, of the innermost
// value that would contain it.
//
// One pass over the document locates all problems. Only the pointers of problems are kept:
// the pointers of all values can be ten thousand times as long as the document.
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

// tokensOf returns the unescaped tokens of a JSON pointer.
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

// find sets the lines of the places in a document. It stops where the document is not
// JSON.
func (root *place) find(document jsontext.Value) {
	// open is an object or array whose end was not read yet.
	type open struct {
		at    *place // nil if it contains no place
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
		here := root // the place of the token's value
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
