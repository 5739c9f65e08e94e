package http1

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestTransport_refusesLargeAnswers(t *testing.T) {
	packed := new(bytes.Buffer)
	zip := gzip.NewWriter(packed)
	_, _ = zip.Write(make([]byte, 10<<20))
	_ = zip.Close()
	for name, handle := range map[string]http.HandlerFunc{
		"the answer has more than 1048576 bytes": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20+1)) },
		"more than 1048576 bytes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed.Bytes())
		},
		"read the answer: unexpected EOF":    raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"),
		"read the answer: unexpected":        raw("HTTP/1.1 200 OK\r\nContent-Length: 4611686018427387904\r\n\r\nhalf"),
		"answer has more than 1048576 bytes": func(w http.ResponseWriter, _ *http.Request) { endless(t, w) },
		"has more than 1048576 bytes": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			stored, _ := gzip.NewWriterLevel(w, gzip.NoCompression)
			endless(t, stored)
		},
		"the head of the answer has more than 1048576 bytes": raw("HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20)),
	} {
		_, err := serve(t, false, handle).to(t).Do(t.Context(), post(""))
		wantError(t, err, true, name)
	}
}

// endless writes what no client reads to its end.
func endless(t *testing.T, w io.Writer) {
	for range 64 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			return
		}
	}
	t.Error("all of an endless answer is read")
}
