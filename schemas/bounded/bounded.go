// Package bounded reads files and streams up to a size limit, so that an endless input
// causes an error instead of exhausting the memory.
//
// All functions are safe for concurrent use.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Small is the largest size of a file with a secret, a certificate or a key.
const Small = 1 << 20

// SizeError is the error for a file or a stream that is larger than its limit.
type SizeError struct{ Limit int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("has more than %d bytes, which is the limit", e.Limit)
}

// Read reads all of r. The error is a [*SizeError] if r has more than limit bytes.
func Read(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, &SizeError{limit}
	}
	return data, err
}

// ReadFile reads a regular file of at most limit bytes. It refuses directories and
// devices, and named pipes because opening one waits for a writer.
func ReadFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil: // os.Open returns the reason
	case info.IsDir():
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}
	case !info.Mode().IsRegular():
		return nil, &os.PathError{Op: "read", Path: name, Err: errors.New("is not a regular file")}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := Read(f, limit)
	if _, large := errors.AsType[*SizeError](err); large {
		return nil, &os.PathError{Op: "read", Path: name, Err: err}
	}
	return data, err
}
