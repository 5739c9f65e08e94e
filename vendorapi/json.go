package vendorapi

import (
	"github.com/go-json-experiment/json/jsontext"
)

// lenient reads text in another encoding instead of failing.
var lenient = jsontext.AllowInvalidUTF8(true)

// flexibleText is a value that the vendor writes as a JSON string in some
// places and as a number or a boolean in others: ids, codes, flags. It is the
// text of either, "" for anything else.
type flexibleText string

// UnmarshalJSON takes any JSON value. It is only called with a whole one, so the
// one thing that can be wrong with a string is its encoding, which is no reason
// to lose the rest: somebody else's job description may be in any.
func (t *flexibleText) UnmarshalJSON(data []byte) error {
	*t = ""
	switch value := jsontext.Value(data); value.Kind() {
	case '0', 't', 'f':
		*t = flexibleText(value)
	case '"':
		s, _ := jsontext.AppendUnquote(nil, value)
		*t = flexibleText(s)
	}
	return nil
}
