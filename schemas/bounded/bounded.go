// Package bounded reads files and streams that have a largest size, so that an
// endless one costs an error and not the memory.
package bounded

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Small is the largest size of a file with a secret, a certificate or a key.
const Small = 1 << 20

// SizeError says that a file or a stream is too large.
type SizeError struct{ Limit int64 }

func (e *SizeError) Error() string {
	return fmt.Sprintf("has more than %d bytes, which is the limit", e.Limit)
}

// Read reads all of r. The error is a [*SizeError] if that is more than limit.
func Read(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		return nil, &SizeError{limit}
	}
	return data, err
}

// ReadFile reads a regular file of at most limit bytes. It refuses a directory, a
// device and a named pipe, whose opening would wait for a writer.
func ReadFile(name string, limit int64) ([]byte, error) {
	info, err := os.Stat(name)
	switch {
	case err != nil: // opening it says why
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
