package vendorapi

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
)

// trimmed returns an answer without white space and byte order mark around it.
func trimmed(body []byte) []byte { return bytes.TrimSpace(bytes.TrimPrefix(body, utf8BOM)) }

// isXML reports whether an answer is XML. The first character decides, since the vendor may answer
// in another format than requested, under any content type.
func isXML(text []byte) bool { return len(text) > 0 && text[0] == '<' }

func newXMLDecoder(text []byte) *xml.Decoder {
	return xml.NewDecoder(bytes.NewReader(bytes.ToValidUTF8(text, []byte("\uFFFD"))))
}

// openXML reads up to the root. Every root of the vendor is a namespace and a name, such as
// JobManager_JobListResponse; other roots are not from the API. Basis: saved answers in the
// vendor's Postman collection (https://github.com/BrandonLundt/commvault-powershell-extentions).
func openXML(dec *xml.Decoder) (xml.StartElement, error) {
	for {
		token, err := dec.Token()
		if err != nil {
			return xml.StartElement{}, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			if !strings.Contains(token.Name.Local, "_") {
				return token, errNoEnvelope
			}
			return token, nil
		case xml.CharData:
			if len(bytes.TrimSpace(token)) > 0 {
				return xml.StartElement{}, errNoEnvelope
			}
		}
	}
}

// decode reads an answer in either format into v.
func decode(text []byte, v any) error {
	if isXML(text) {
		return decodeXML(text, v)
	}
	return json.Unmarshal(text, v, lenient)
}

// decodeXML reads a document with one root and nothing after it into v.
func decodeXML(text []byte, v any) error {
	dec := newXMLDecoder(text)
	root, err := openXML(dec)
	if err != nil {
		return err
	}
	if err := dec.DecodeElement(v, &root); err != nil {
		return err
	}
	switch _, err := openXML(dec); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	}
	return errNoEnvelope
}
