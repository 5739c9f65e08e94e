package page

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// maxStreams is how many viewers have the page live.
	maxStreams = 32
	// liveEvery is the shortest time between two updates of a viewer.
	liveEvery = 500 * time.Millisecond
	// liveAnyway is how often it is looked, change or not: ages grow.
	liveAnyway = 2 * time.Second
	// keepAlive is how often something is written at least, so that one who has
	// gone is noticed.
	keepAlive = 15 * time.Second
	// slowViewer is how long a write may take.
	slowViewer = 5 * time.Second
)

// streams counts viewers.
type streams struct{ open atomic.Int32 }

func (s *streams) enter() bool {
	if s.open.Add(1) <= maxStreams {
		return true
	}
	s.open.Add(-1)
	return false
}

func (s *streams) leave() { s.open.Add(-1) }

// parts renders what may have changed, by the name of its template.
type parts func() (data any, names []string)

// stream sends changes to one viewer until it disconnects. Nothing is queued: each
// time the viewer gets the current state.
func (p *Page) stream(w http.ResponseWriter, r *http.Request, look parts) {
	if !p.streams.enter() {
		w.Header().Set("Retry-After", "30")
		http.Error(w, "too many viewers", http.StatusServiceUnavailable)
		return
	}
	defer p.streams.leave()
	v := viewer{page: p, w: w, control: http.NewResponseController(w), sent: map[string]uint64{}, seed: maphash.MakeSeed()}
	_ = v.control.SetReadDeadline(time.Time{}) // the server's is for the question
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if v.write("retry: 3000\n\n") != nil {
		return
	}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	var (
		version uint64
		looked  time.Time
	)
	for {
		p.cfg.State.Want()
		now := time.Now()
		if current := p.cfg.State.Version(); current != version || now.Sub(looked) >= liveAnyway {
			version, looked = current, now
			if err := v.show(look); err != nil {
				return
			}
		}
		if now.Sub(v.wrote) >= keepAlive && v.write(": still here\n\n") != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-p.stopped:
			_ = v.write("event: bye\ndata: the process stops\n\n")
			return
		case <-tick.C:
		}
	}
}

// viewer is one that looks at a stream.
type viewer struct {
	page    *Page
	w       http.ResponseWriter
	control *http.ResponseController
	sent    map[string]uint64 // hashes of the parts as it has them
	seed    maphash.Seed
	wrote   time.Time
}

// show sends the parts that differ from those that the viewer has.
func (v *viewer) show(look parts) error {
	data, names := look()
	var event bytes.Buffer
	for _, name := range names {
		var part bytes.Buffer
		if err := v.page.templates().ExecuteTemplate(&part, name, data); err != nil {
			v.page.log.Error().Err(err).Str("template", name).Msg("the page cannot be rendered")
			return err
		}
		hash := maphash.Bytes(v.seed, part.Bytes())
		if last, ok := v.sent[name]; !ok || last != hash {
			v.sent[name] = hash
			event.Write(part.Bytes())
		}
	}
	if event.Len() == 0 {
		return nil
	}
	return v.write(sse("parts", event.String()))
}

// sse returns one event of a stream. Each line of the data becomes a data line,
// whatever its line ending.
func sse(name, text string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "event: %s\n", name)
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	for line := range strings.SplitSeq(text, "\n") {
		fmt.Fprintf(&out, "data: %s\n", line)
	}
	out.WriteString("\n")
	return out.String()
}

func (v *viewer) write(text string) error {
	v.wrote = time.Now()
	_ = v.control.SetWriteDeadline(v.wrote.Add(slowViewer))
	if _, err := v.w.Write([]byte(text)); err != nil {
		return err
	}
	return v.control.Flush()
}

func (p *Page) liveList(w http.ResponseWriter, r *http.Request) {
	f := formOf(r.URL.Query())
	p.stream(w, r, func() (any, []string) {
		return p.look(r, f), []string{"lights", "counts", "plot", "rows", "pager", "actions"}
	})
}
