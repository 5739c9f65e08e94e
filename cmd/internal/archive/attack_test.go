package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/tlog"

	"backhaul/consumer/trigger/objectstore"
	"backhaul/publisher"
)

// files returns the files of an archive in a directory by their names.
func (a *archiveTest) files() map[string]string {
	a.Helper()
	all := make(map[string]string)
	if err := filepath.WalkDir(a.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(a.dir, path)
		all[name] = string(data)
		return err
	}); err != nil {
		a.Fatal(err)
	}
	return all
}

// refuses checks that messages cannot be appended because of a file that is there, and that no file
// is changed.
func (a *archiveTest) refuses(begin *publisher.Place, messages ...jetstream.RawStreamMsg) {
	a.Helper()
	before := a.files()
	l := a.open()
	err := l.Append(a.Context(), begin, messages)
	l.Close()
	if err == nil || !strings.Contains(err.Error(), "is there with other content") {
		a.Errorf("the error is %v", err)
	}
	after := a.files()
	for name, data := range before {
		if after[name] != data {
			a.Errorf("%s was overwritten", name)
		}
	}
}

// Nothing that was archived is overwritten because the checkpoint was removed, or an older one of
// the same archive was put in its place, though the stream has lost events since. If the stream still
// has all of them, the archive becomes what it was.
func TestLog_aCheckpointThatWasRemovedOrRolledBack(t *testing.T) {
	t.Parallel()
	for _, checkpoint := range []string{"none", "older"} {
		a := newArchive(t)
		all := messages(1, 900)
		older := a.append(place, all[:300]...)
		a.append(nil, all[300:]...)
		whole := a.files()
		begin := (*publisher.Place)(nil)
		a.change(CheckpointName, func([]byte) []byte {
			if checkpoint == "older" {
				return older.Note
			}
			begin = place
			return nil
		})
		a.refuses(begin, all[600:]...)
		a.append(begin, all...)
		if got := a.files(); !maps.Equal(got, whole) {
			t.Errorf("%s: the archive did not become what it was", checkpoint)
		}
	}
}

// An archive whose last bundle was changed is not appended to: what is still right of it would be
// replaced by the wrong one.
func TestOpen_aBundleThatWasChanged(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.append(place, messages(1, 300)...)
	a.changeLeaves("tile/entries/001.p/45", func(all [][]byte) [][]byte { all[10][len(all[10])-3] ^= 1; return all })
	_, err := Open(t.Context(), a.store, a.signer, Options{})
	if err == nil || !strings.Contains(err.Error(), "leaf 266 in tile/entries/001 (event 266,") || !strings.Contains(err.Error(), "is not what was signed") {
		t.Errorf("the error is %v", err)
	}
}

// Who reads an archive is never shown an event that is not the one that was signed.
func TestReader_showsOnlyWhatWasSigned(t *testing.T) {
	t.Parallel()
	const bundle, tile = "tile/entries/001", "tile/0/001"
	for name, change := range map[string]func(a *archiveTest){
		"a byte": func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { all[44][len(all[44])-3] ^= 1; return all })
		},
		"a byte, and its hash": func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte {
				all[44][len(all[44])-3] ^= 1
				h := tlog.RecordHash(all[44])
				a.change(tile, func(data []byte) []byte { copy(data[44*tlog.HashSize:], h[:]); return data })
				return all
			})
		},
		"two events swapped": func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { all[44], all[45] = all[45], all[44]; return all })
		},
		"an event removed": func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { return append(all[:44:44], all[45:]...) })
		},
		"the end cut off": func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { return all[:200] })
		},
		"an event added": func(a *archiveTest) {
			a.changeLeaves(bundle, func(all [][]byte) [][]byte { return append(all, all[44]) })
		},
		"a bundle of another archive": func(a *archiveTest) {
			b := newArchive(t)
			b.signer, b.keys = a.signer, a.keys
			other := messages(1, 700)
			other[300].Data = []byte(`{"requestId":"another"}`)
			b.append(place, other...)
			a.change(bundle, func([]byte) []byte { return []byte(b.files()[bundle]) })
		},
		"bundle and tile of another archive": func(a *archiveTest) {
			b := newArchive(t)
			b.signer, b.keys = a.signer, a.keys
			other := messages(1, 700)
			other[300].Data = []byte(`{"requestId":"another"}`)
			b.append(place, other...)
			for _, name := range []string{bundle, tile} {
				a.change(name, func([]byte) []byte { return []byte(b.files()[name]) })
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newArchive(t)
			a.append(place, messages(1, 700)...)
			change(a)
			seen := uint64(0)
			err := a.reader().Messages(t.Context(), 0, func(m Message) error {
				if want := message(m.Sequence); m.Sequence != seen+1 || !bytes.Equal(m.Data, want.Data) {
					t.Errorf("event %d is shown after %d as %q", m.Sequence, seen, m.Data)
				}
				seen = m.Sequence
				return nil
			})
			if err == nil || !strings.Contains(err.Error(), "backhaul verify") {
				t.Errorf("the error is %v, after event %d", err, seen)
			}
			if report := a.verify(); len(report.Problems) == 0 {
				t.Error("verify finds nothing")
			}
			if _, err := Prove(t.Context(), a.reader(), func(k publisher.Key) bool { return k.Name == "r-301" || k.Name == "r-299" }); err == nil {
				t.Error("it is proven")
			}
		})
	}
}

// Each event is in a proof once, in the order of the archive: two starts are no proof of two jobs.
func TestProof_withAnEventTwice(t *testing.T) {
	t.Parallel()
	a := newArchive(t)
	a.append(place, requests(10)...)
	p, err := Prove(t.Context(), a.reader(), func(k publisher.Key) bool { return k.Name == "r-3" })
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := p.Check(a.keys); err != nil {
		t.Fatal(err)
	}
	p.Events = append(p.Events, p.Events[1])
	if _, _, err := p.Check(a.keys); err == nil || !strings.Contains(err.Error(), "order of the archive") {
		t.Errorf("the error is %v", err)
	}
}

// A key that is in the file twice is one key.
func TestOpenPublicKeys_twice(t *testing.T) {
	t.Parallel()
	private, public, err := GenerateKey("backhaul.example.com/events")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := OpenPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t)
	a.signer = signer
	if a.keys, err = OpenPublicKeys(public + "\n" + public + "\n"); err != nil {
		t.Fatal(err)
	}
	a.append(place, messages(1, 3)...)
	if report := a.verify(); len(report.Problems) > 0 || fmt.Sprint(a.keys) != fmt.Sprint(signer.Keys) {
		t.Errorf("%v, keys %s", report.Problems, a.keys)
	}
}

// A NATS server whose clock is wrong by years makes no retention that nobody can end, and one that has
// ended already by the store's clock is not asked for.
func TestBucket_retentionAndClocks(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	b := NewBucket(nil, "", BucketOptions{Retention: year})
	now := time.Now()
	for name, test := range map[string]struct {
		newest time.Time
		want   time.Duration // from now on, 0 for none
	}{
		"now":             {now, year},
		"a month ago":     {now.Add(-30 * 24 * time.Hour), year - 30*24*time.Hour},
		"in ten years":    {now.Add(10 * year), year},
		"over":            {now.Add(-2 * year), 0},
		"over in minutes": {now.Add(-year + 10*time.Minute), 0},
	} {
		got := b.lock("tile/0/000", test.newest, false).Until
		if until := got.Sub(now); test.want == 0 && !got.IsZero() || test.want > 0 && (until < test.want || until > test.want+time.Minute) {
			t.Errorf("%s: until %s, want %s", name, until, test.want)
		}
	}
}

// Whatever a store answers instead of what it has: nobody is shown anything wrong, nothing is lost,
// and no error has the secret key.
func TestBucket_wrongAnswers(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			elsewhere.Add(1)
		}
		_, _ = io.WriteString(w, "anything")
	}))
	t.Cleanup(other.Close)
	refuse := func(status int, code string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
		}
	}
	answer := func(headers map[string]string, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for name, value := range headers {
				w.Header().Set(name, value)
			}
			_, _ = io.WriteString(w, body)
		}
	}
	const modified = "Sat, 28 Nov 2026 20:00:00 GMT"
	for name, fault := range map[string]http.HandlerFunc{
		"403":            refuse(403, "AccessDenied"),
		"no such bucket": refuse(404, "NoSuchBucket"),
		"500":            refuse(500, "InternalError"),
		"503":            refuse(503, "SlowDown"),
		"a page":         answer(map[string]string{"Content-Type": "text/html"}, "<html>Please log in</html>"),
		"a page as the object": answer(map[string]string{"ETag": `"x"`, "Last-Modified": modified},
			"<html>Please log in</html>"),
		"nothing": answer(map[string]string{"ETag": `"x"`, "Last-Modified": modified}, ""),
		"cut off": answer(map[string]string{"ETag": `"x"`, "Last-Modified": modified, "Content-Length": "5000"}, "backhaul.example.com/events\n5"),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusTemporaryRedirect)
		},
		"another region": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path, http.StatusMovedPermanently)
		},
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
			<-r.Context().Done()
		},
		"hung up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, server, _ := newBucket(t, BucketOptions{})
			target, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			proxy := httputil.NewSingleHostReverseProxy(target)
			var faulty atomic.Pointer[string] // the method that is answered wrongly
			front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if method := faulty.Load(); method != nil && r.Method == *method {
					fault(w, r)
					return
				}
				proxy.ServeHTTP(w, r)
			}))
			front.Config.ErrorLog = log.New(io.Discard, "", 0)
			front.Start()
			t.Cleanup(front.Close)
			const secret = "Geheim/4c1f"
			objects, err := objectstore.New(objectstore.Config{
				Endpoint: front.URL, AccessKey: func() (string, error) { return "AKIDEXAMPLE", nil }, SecretKey: func() (string, error) { return secret, nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			a.store = NewBucket(objects.Bucket("evidence", "backhaul/"), "s3://evidence/backhaul", BucketOptions{})
			a.append(place, messages(1, 300)...)
			l := a.open()
			defer l.Close()
			fails := func(what string, err error) {
				t.Helper()
				if err == nil {
					t.Errorf("%s succeeds", what)
				} else if strings.Contains(err.Error(), secret) || strings.Contains(err.Error(), "Signature=") {
					t.Errorf("%s: the error shows credentials: %v", what, err)
				}
			}
			soon := func() context.Context {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				t.Cleanup(cancel)
				return ctx
			}
			for _, method := range []string{http.MethodGet, http.MethodPut} {
				r := a.reader()
				faulty.Store(&method)
				fails(method+": append", l.Append(soon(), nil, messages(301, 600)))
				if method == http.MethodGet {
					_, err := NewReader(soon(), a.store, a.keys)
					fails("open", err)
					fails("read", r.Messages(soon(), 0, func(Message) error { t.Error("an event is shown"); return ErrStop }))
					if report, err := Verify(soon(), r, a.keys, nil); err == nil && len(report.Problems) == 0 {
						t.Error("it is verified")
					}
					_, err = Open(soon(), a.store, a.signer, Options{})
					fails("open to append", err)
				}
				faulty.Store(nil)
			}
			again, err := Open(t.Context(), a.store, a.signer, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Append(t.Context(), nil, messages(301, 600)); err != nil {
				t.Fatal(err)
			}
			again.Close()
			if report := a.verify(); len(report.Problems) > 0 || report.Events != 600 || len(report.Gaps) > 0 {
				t.Errorf("%+v", report)
			}
		})
	}
	t.Cleanup(func() {
		if n := elsewhere.Load(); n > 0 {
			t.Errorf("%d signed requests went to another server", n)
		}
	})
}
