package archive

import (
	"context"
	"errors"
	"strings"
)

// Store keeps the files of an archive. A file is written as a whole or not at all, and stays when
// the call has returned.
type Store interface {
	// Read returns a file. The error is [fs.ErrNotExist] if there is none.
	Read(ctx context.Context, name string) ([]byte, error)
	// Write writes a file, and replaces one of the same name.
	Write(ctx context.Context, name string, data []byte, held bool) error
	// Swap replaces the checkpoint that was read or written last. The error is [ErrOther] if
	// it is another one by now.
	Swap(ctx context.Context, checkpoint []byte) error
	// Remove removes all files below a name, which nothing needs any more, as far as it may.
	Remove(ctx context.Context, below string)
	// Lock keeps other processes from appending, as far as it can. The error is [ErrOther] if one does.
	Lock() (unlock func(), err error)
	// String is what people call it.
	String() string
}

// ErrOther means that another archiver appends to the archive.
var ErrOther = errors.New("another archiver writes to this archive")

// ErrReadOnly is the error of a write to a store that was opened for reading.
var ErrReadOnly = errors.New("the archive was opened for reading")

// partial reports whether a name is that of a tile or bundle that is not full. It is replaced by a
// full one, or by a wider one.
func partial(name string) bool { return strings.Contains(name, ".p/") }
