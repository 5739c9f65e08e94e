package vendorapi

import (
	"bytes"
	"errors"
	"io"
	"strings"

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

// modernJSON returns JSON that an old release converted from XML as newer releases write it:
// without the name of the root, and without the "@" before the names of attributes. It returns any
// other text as it is. Basis: public clients that read "JobManager_JobListResponse" and "@token".
func modernJSON(text []byte) []byte {
	if isXML(text) || !bytes.Contains(text, []byte(`"@`)) {
		return text
	}
	modern, err := withoutAt(text)
	if err != nil {
		return text // the reader of the answer reports it
	}
	var root map[string]jsontext.Value
	if json.Unmarshal(modern, &root, lenient) == nil && len(root) == 1 {
		for name, value := range root {
			if strings.Contains(name, "_") && value.Kind() == '{' {
				return value
			}
		}
	}
	return modern
}

// withoutAt returns a document without the "@" before the names of its members.
func withoutAt(text []byte) ([]byte, error) {
	var out bytes.Buffer
	dec, enc := jsontext.NewDecoder(bytes.NewReader(text), lenient), jsontext.NewEncoder(&out, lenient)
	for {
		token, err := dec.ReadToken()
		if errors.Is(err, io.EOF) {
			return out.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if kind, n := dec.StackIndex(dec.StackDepth()); kind == '{' && n%2 == 1 && token.Kind() == '"' {
			token = jsontext.String(strings.TrimPrefix(token.String(), "@"))
		}
		if err := enc.WriteToken(token); err != nil {
			return nil, err
		}
	}
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
