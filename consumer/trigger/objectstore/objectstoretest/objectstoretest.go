// Package objectstoretest runs an S3 server in the test process.
package objectstoretest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// Server is an S3 server that runs until its test ends.
type Server struct {
	// URL is the server's endpoint. It requires path style.
	URL string

	t       testing.TB
	backend *s3mem.Backend

	mu      sync.Mutex
	fail    func(r *http.Request) int
	lose    func(r *http.Request) bool
	written map[string]int
}

// Start runs a server with empty buckets.
func Start(t testing.TB, buckets ...string) *Server {
	t.Helper()
	s := &Server{t: t, backend: s3mem.New(), written: make(map[string]int)}
	for _, bucket := range buckets {
		if err := s.backend.CreateBucket(bucket); err != nil {
			t.Fatalf("objectstoretest: %v", err)
		}
	}
	handler := gofakes3.New(s.backend, gofakes3.WithLogger(gofakes3.DiscardLog())).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := s.status(r); status != 0 {
			w.WriteHeader(status)
			return
		}
		if s.losesAnswer(r) {
			handler.ServeHTTP(httptest.NewRecorder(), r)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *Server) status(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		if status := s.fail(r); status != 0 {
			return status
		}
	}
	if r.Method == http.MethodPut {
		s.written[r.URL.Path]++
	}
	return 0
}

// Fail makes the server answer with the status that decide returns, unless it is 0. nil
// restores normal answers.
func (s *Server) Fail(decide func(r *http.Request) int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = decide
}

// LoseAnswers makes the server do what is asked, and answer 500, where decide returns true. nil
// restores normal answers.
func (s *Server) LoseAnswers(decide func(r *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lose = decide
}

func (s *Server) losesAnswer(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lose != nil && s.lose(r)
}

// Written returns how often each object was written, by "/bucket/name".
func (s *Server) Written() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]int, len(s.written))
	for path, n := range s.written {
		all[path] = n
	}
	return all
}

// Get returns the content of an object. It fails the test if the object does not exist.
func (s *Server) Get(bucket, name string) string {
	s.t.Helper()
	object, err := s.backend.GetObject(bucket, name, nil)
	if err != nil {
		s.t.Fatalf("objectstoretest: /%s/%s: %v", bucket, name, err)
	}
	defer func() { _ = object.Contents.Close() }()
	data, err := io.ReadAll(object.Contents)
	if err != nil {
		s.t.Fatalf("objectstoretest: /%s/%s: %v", bucket, name, err)
	}
	return string(data)
}
