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

// UnmarshalJSON takes any JSON value.
func (t *flexibleText) UnmarshalJSON(data []byte) error {
	*t = ""
	switch value := jsontext.Value(data); value.Kind() {
	case '0', 't', 'f':
		*t = flexibleText(value)
	case '"':
		s, err := jsontext.AppendUnquote(nil, value)
		*t = flexibleText(s)
		return err
	}
	return nil
}
