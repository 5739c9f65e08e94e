package vendorapi

import (
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// lenient accepts text in another encoding.
var lenient = jsontext.AllowInvalidUTF8(true)

// flexibleText is a value that the vendor writes as a JSON string in some answers and as a number
// or a boolean in others: ids, codes, flags. It is the text of either, "" for other values. Basis:
// saved answers in the vendor's Postman collection
// (https://github.com/BrandonLundt/commvault-powershell-extentions).
type flexibleText string

// UnmarshalJSON accepts any JSON value. It is called with a complete value, so the only possible
// error of a string is its encoding. That must not reject the answer: job descriptions of other
// users may be in any encoding.
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

// oneOrMany is a list that the vendor may write as its only element. Basis: JSON that old releases
// convert from XML.
type oneOrMany[T any] []T

// UnmarshalJSONFrom reads a list or one element.
func (l *oneOrMany[T]) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	if dec.PeekKind() == '{' {
		*l = make(oneOrMany[T], 1)
		return json.UnmarshalDecode(dec, &(*l)[0])
	}
	var list []T
	err := json.UnmarshalDecode(dec, &list)
	*l = list
	return err
}
