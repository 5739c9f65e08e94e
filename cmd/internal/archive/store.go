package archive

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Store keeps the files of an archive. A file is written as a whole or not at all, and stays when
// the call has returned.
type Store interface {
	// Read returns a file. The error is [fs.ErrNotExist] if there is none.
	Read(ctx context.Context, name string) ([]byte, error)
	// Write writes a file. If there is one of this name with the same content, nothing is done. The
	// error is an [OccupiedError] if it has other content, or [ErrOther] if another archiver wrote it.
	Write(ctx context.Context, name string, data []byte, k Keep) error
	// Swap replaces the checkpoint that was read or written last. The error is [ErrOther] if
	// it is another one by now.
	Swap(ctx context.Context, checkpoint []byte, k Keep) error
	// Remove removes all files below a name, which nothing needs any more, as far as it may.
	Remove(ctx context.Context, below string)
	// Lock keeps other processes from appending, as far as it can. The error is [ErrOther] if one does.
	Lock() (unlock func(), err error)
	// String is what people call it.
	String() string
}

// Keep says how long a file is to be kept, where the store can see to that.
type Keep struct {
	// Newest is when the newest event of the file was stored.
	Newest time.Time
	// Held keeps it until someone releases it.
	Held bool
}

// ErrOther means that another archiver appends to the archive.
var ErrOther = errors.New("another archiver writes to this archive")

// OccupiedError means that a file is there already that an archive would have with other content.
// Nothing that was archived is ever overwritten. It is no trace of a crash: what a crashed archiver
// left has the content that the next one writes, unless the stream has lost events since.
type OccupiedError struct{ Name string }

func (e *OccupiedError) Error() string {
	return e.Name + " is there with other content, and nothing that was archived is overwritten: the checkpoint was removed or rolled back, or the " +
		"stream has lost events since an archiver was killed. Restore the checkpoint, or begin another archive; deploy/ARCHIVE.md, A file that is there already"
}

// partial reports whether a name is that of a tile or bundle that is not full. It is replaced by a
// full one, or by a wider one.
func partial(name string) bool { return strings.Contains(name, ".p/") }
