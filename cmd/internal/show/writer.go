package show

import (
	"io"
	"sync"
)

// Writer escapes text for a terminal or a pipeline: see [Escape]. Lines of JSON keep their
// values, because everything outside of strings is ASCII.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	rest []byte // beginning of a character whose end was not written yet
}

// NewWriter returns a Writer that writes to w, or w itself if it is a Writer.
func NewWriter(w io.Writer) *Writer {
	if already, ok := w.(*Writer); ok {
		return already
	}
	return &Writer{w: w}
}

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) == 0 && isPlainLines(p) {
		return w.w.Write(p) // the common case
	}
	text := append(w.rest, p...)
	escaped, consumed := appendEscaped(make([]byte, 0, len(text)+16), text)
	w.rest = append([]byte(nil), text[consumed:]...)
	if _, err := w.w.Write(escaped); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Control writes a terminal control sequence without escaping it.
func (w *Writer) Control(sequence string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, sequence)
	return err
}

// Fd returns the descriptor of the underlying file, or an invalid one if it is not a file.
func (w *Writer) Fd() uintptr {
	if file, ok := w.w.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}
