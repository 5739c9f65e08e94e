package bounded

import (
	"bytes"
	"errors"
	"os"
)

// errUTF16 is the error for UTF-16, which Windows PowerShell's redirection writes.
var errUTF16 = errors.New("is UTF-16 or has a zero byte; save it as UTF-8")

var utf8BOM = []byte("\xef\xbb\xbf")

// ReadText reads UTF-8 text with [ReadFile]. It removes a byte order mark and refuses
// UTF-16 with or without one.
func ReadText(name string, limit int64) ([]byte, error) {
	data, err := ReadFile(name, limit)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) || bytes.IndexByte(data, 0) >= 0 {
		return nil, &os.PathError{Op: "read", Path: name, Err: errUTF16}
	}
	return bytes.TrimPrefix(data, utf8BOM), nil
}
