package page

import (
	"bytes"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"backhaul/cmd/internal/console/state"
	"backhaul/publisher"
)

// lettersPage lists dead letters.
type lettersPage struct {
	chrome
	Now     time.Time
	Source  string
	Letters []state.Letter
	// Older and Newest are the addresses of other pages, "" if there is none.
	Older, Newest string
	Trouble       string
}

func (p *Page) letters(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	l := lettersPage{chrome: p.chrome(r, "Dead letters", "dead-letters"), Now: time.Now(), Source: formOf(q).Source}
	before, _ := strconv.ParseUint(q.Get("before"), 10, 64)
	at := func(before uint64) string {
		v := url.Values{}
		if l.Source != "" {
			v.Set("source", l.Source)
		}
		if before > 0 {
			v.Set("before", strconv.FormatUint(before, 10))
		}
		return "/dead-letters?" + v.Encode()
	}
	status := http.StatusOK
	err := p.demand(r.Context(), func(ctx context.Context) (err error) {
		var older uint64
		l.Letters, older, err = p.cfg.State.Letters(ctx, l.Source, before, pageSize)
		if older > 0 {
			l.Older = at(older)
		}
		return err
	})
	if err != nil {
		l.Trouble, status = err.Error(), http.StatusServiceUnavailable
	}
	if before > 0 {
		l.Newest = at(0)
	}
	p.render(w, status, "letters.html", l)
}

// letterPage is one dead letter.
type letterPage struct {
	chrome
	state.FullLetter
	Headers []header
	Text    string // the message, if it is text
	Size    int
	// Replayed is the request that it was just replayed as, nil if it was not.
	Replayed  *publisher.Key
	CanReplay bool
}

type header struct{ Name, Value string }

// maxShown bounds how much of a message is shown.
const maxShown = 64 << 10

func (p *Page) letter(w http.ResponseWriter, r *http.Request) {
	sequence, err := strconv.ParseUint(r.PathValue("sequence"), 10, 64)
	if err != nil {
		p.say(w, r, http.StatusNotFound, "There is no such dead letter.")
		return
	}
	var (
		full  state.FullLetter
		found bool
	)
	err = p.demand(r.Context(), func(ctx context.Context) (err error) {
		full, found, err = p.cfg.State.Letter(ctx, sequence)
		return err
	})
	switch {
	case err != nil:
		p.say(w, r, http.StatusServiceUnavailable, "The dead letter cannot be read: %v", err)
		return
	case !found:
		p.say(w, r, http.StatusNotFound, "There is no dead letter %d, or no longer.", sequence)
		return
	}
	l := letterPage{
		chrome: p.chrome(r, "Dead letter "+strconv.FormatUint(sequence, 10), "dead-letters"), FullLetter: full,
		Headers: headersOf(full.Header), Size: len(full.Data), CanReplay: p.cfg.Letters != nil,
	}
	if utf8.Valid(full.Data) && !bytes.ContainsRune(full.Data, 0) {
		l.Text = indented(full.Data)
		l.Text = l.Text[:min(len(l.Text), maxShown)]
	}
	if q := r.URL.Query(); q.Has("replayed") {
		l.Replayed = &publisher.Key{Source: q.Get("source"), Name: q.Get("replayed")}
		l.Self = "/dead-letters/" + strconv.FormatUint(sequence, 10)
	}
	p.render(w, http.StatusOK, "letter.html", l)
}

func headersOf(h nats.Header) []header {
	var all []header
	for name, values := range h {
		for _, value := range values {
			all = append(all, header{name, value})
		}
	}
	slices.SortFunc(all, func(a, b header) int {
		if a.Name != b.Name {
			return bytes.Compare([]byte(a.Name), []byte(b.Name))
		}
		return bytes.Compare([]byte(a.Value), []byte(b.Value))
	})
	return all
}
