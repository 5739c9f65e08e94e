package show

import (
	"io"
	"sync"
)

// Writer escapes what is written for a terminal or a pipeline: see [Escape]. In lines of
// JSON everything outside of strings is ASCII, so their values stay the same.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	rest []byte // of a character whose end was not written yet
}

// NewWriter returns a writer in front of another one, which may be a Writer already.
func NewWriter(w io.Writer) *Writer {
	if already, ok := w.(*Writer); ok {
		return already
	}
	return &Writer{w: w}
}

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) == 0 && len(p) > 0 && isPlain(p[:len(p)-1]) && (p[len(p)-1] == '\n' || isPlain(p[len(p)-1:])) {
		return w.w.Write(p) // nearly every line
	}
	text := append(w.rest, p...)
	escaped, taken := appendEscaped(make([]byte, 0, len(text)+16), text)
	w.rest = append([]byte(nil), text[taken:]...)
	if _, err := w.w.Write(escaped); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Control writes a sequence that the terminal shall obey.
func (w *Writer) Control(sequence string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, sequence)
	return err
}

// Fd is that of the file in front of which the writer stands, an invalid one if it is none.
func (w *Writer) Fd() uintptr {
	if file, ok := w.w.(interface{ Fd() uintptr }); ok {
		return file.Fd()
	}
	return ^uintptr(0)
}
