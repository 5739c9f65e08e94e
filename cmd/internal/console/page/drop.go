package page

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"backhaul/cmd/internal/deadletter"
	"backhaul/cmd/internal/operator"
)

// dropLimit bounds the drop of one dead letter: where NATS does not permit it, there is no answer.
const dropLimit = 5 * time.Second

// dropMany is the drop of many dead letters.
func (p *Page) dropMany() bulkAction {
	return bulkAction{
		verb: "drop", past: "dropped", title: "Drop dead letters",
		selects: func(f lettersForm, l deadletter.Message) bool { return f.Filter.matches(l) },
		needs:   func(selection) []string { return deadletter.DropNeeds },
		plan: func(context.Context, deadletter.Message) (outcome, error) {
			return outcome{result: "would drop"}, nil
		},
		act: p.dropOne,
	}
}

func (p *Page) dropOne(ctx context.Context, l deadletter.Message, who operator.By) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, dropLimit)
	defer cancel()
	err := p.cfg.Letters.Drop(ctx, l, who)
	if _, gone := errors.AsType[*deadletter.NotFoundError](err); gone {
		return outcome{result: "gone before"}, nil
	}
	return outcome{result: "dropped"}, err
}

// drop deletes the dead letter that the path names.
func (p *Page) drop(w http.ResponseWriter, r *http.Request, by *session) {
	number, ok := p.letterNumber(w, r)
	if !ok {
		return
	}
	who := by.by(r)
	switch err := who.Check(); {
	case who.Reason == "":
		p.say(w, r, http.StatusUnprocessableEntity, "The reason is missing: the event of the dead letter has it. Nothing was done.")
		return
	case err != nil:
		p.say(w, r, http.StatusUnprocessableEntity, "No: %v. Nothing was done.", err)
		return
	}
	letter, err := p.cfg.Letters.Get(r.Context(), number)
	if err != nil {
		p.failed(w, r, "drop", err)
		return
	}
	if missing := p.missing(r.Context(), deadletter.DropNeeds...); len(missing) > 0 {
		p.notPermitted(w, r, missing)
		return
	}
	if r.PostFormValue("kept") != keptOf(letter) {
		p.say(w, r, http.StatusConflict, "Dead letter %d is another one than the form has shown. Nothing was done.", number)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), dropLimit)
	defer cancel()
	if err := p.cfg.Letters.Drop(ctx, letter, who); err != nil {
		p.failed(w, r, "drop", err)
		return
	}
	p.log.Info().Str("actor", by.Actor).Uint64("deadLetter", number).Msg("dead letter dropped from the console")
	http.Redirect(w, r, "/dead-letters?dropped="+strconv.FormatUint(number, 10), http.StatusSeeOther)
}

// keptOf tells a dead letter from one that has its number in a stream that was created again.
func keptOf(l deadletter.Message) string { return strconv.FormatInt(l.Kept.UnixNano(), 10) }
