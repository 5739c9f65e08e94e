package page

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"

	"backhaul/cmd/internal/history"
	"backhaul/cmd/internal/jobact"
	"backhaul/cmd/internal/operator"
	"backhaul/publisher"
	"backhaul/vendorapi"
)

// Jobs acts on jobs at the vendor. Its methods are those of [jobact.Desk].
type Jobs interface {
	Find(ctx context.Context, id string) (jobact.Job, error)
	Act(ctx context.Context, job jobact.Job, action vendorapi.JobAction, by operator.By) (jobact.Result, error)
}

// jobActions are what a form may ask for.
var jobActions = map[string]vendorapi.JobAction{
	"suspend": vendorapi.SuspendJob, "resume": vendorapi.ResumeJob, "kill": vendorapi.KillJob,
}

// jobPage asks whether to kill a job, or says what came of an action on one.
type jobPage struct {
	chrome
	Key publisher.Key
	Job jobact.Job
	// Verb is what was asked for, and Reason why.
	Verb, Reason string
	// Done is what came of it, "" while the page asks.
	Done string
	// Unclear: it is not known whether the vendor accepted it.
	Unclear bool
}

// Active returns the jobs of a request that may still run.
func (d requestPage) Active() []history.Job {
	var active []history.Job
	for _, job := range d.Request.Jobs {
		if job.State != history.JobFinished && publisher.IsJobID(job.ID) {
			active = append(active, job)
		}
	}
	return active
}

// actOnJob asks the vendor for an action on a job of the request whose page had the form. A job is
// killed only after a question.
func (p *Page) actOnJob(w http.ResponseWriter, r *http.Request, by *session) {
	key := publisher.Key{Source: r.PathValue("source"), Name: r.PathValue("key")}
	id, verb, who := r.PathValue("job"), r.PostFormValue("do"), by.by(r)
	action, known := jobActions[verb]
	switch {
	case p.cfg.Jobs == nil:
		p.say(w, r, http.StatusNotFound, "This process has no credentials of the vendor: use backhaul job, where the service has its settings. Nothing was done.")
		return
	case !publisher.IsJobID(id):
		p.say(w, r, http.StatusNotFound, "This job does not exist.")
		return
	case !known:
		p.say(w, r, http.StatusUnprocessableEntity, "What is to be done with job %s: suspend, resume or kill? Nothing was done.", id)
		return
	case who.Reason == "":
		p.say(w, r, http.StatusUnprocessableEntity, "Why? Enter a reason: the record says why job %s was touched. Nothing was done.", id)
		return
	}
	if missing := p.missing(r.Context(), publisher.AnyOperator); len(missing) > 0 {
		p.notPermitted(w, r, missing)
		return
	}
	// Also if the browser leaves: what became of the job is recorded in the log then.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), actionLimit)
	defer cancel()
	job, err := p.cfg.Jobs.Find(ctx, id)
	if _, foreign := errors.AsType[*jobact.NotOursError](err); foreign {
		p.say(w, r, http.StatusNotFound, "Nothing was done: %v.", err)
		return
	}
	if err != nil {
		p.failed(w, r, verb+" job", err)
		return
	}
	if job.Key != key {
		p.say(w, r, http.StatusConflict, "Nothing was done: the vendor has given the id again, and job %s is one of the request %s now.", id, job.Key)
		return
	}
	c := jobPage{chrome: p.chrome(r, "Job "+id, "requests"), Key: key, Job: job, Verb: verb, Reason: who.Reason}
	c.Self = requestPath(key)
	if action == vendorapi.KillJob && r.PostFormValue("sure") != "yes" {
		p.render(w, http.StatusOK, "job.html", c)
		return
	}
	result, err := p.cfg.Jobs.Act(ctx, job, action, who)
	log := p.log.Info()
	if err != nil || result.Unclear != "" {
		log = p.log.Warn().Err(err)
	}
	log.Str("actor", by.Actor).Str("action", verb+" job").Str("jobId", id).Str("key", key.String()).Msg("a job was acted on from the console")
	if refused, ok := errors.AsType[*jobact.RefusedError](err); ok {
		p.say(w, r, http.StatusConflict, "Job %s is as before: %v.", id, p.explained(refused))
		return
	}
	if err != nil {
		p.failed(w, r, verb+" job", err)
		return
	}
	status := http.StatusOK
	c.Done = fmt.Sprintf("The vendor accepted it. The job was %s, and is %s.", result.Before, cmp.Or(result.After, "not shown"))
	if c.Unclear = result.Unclear != ""; c.Unclear {
		status = http.StatusBadGateway
		c.Done = fmt.Sprintf("It is not known whether the vendor accepted it (%s). The job was %s, and is %s. Look again before you repeat it.",
			result.Unclear, result.Before, cmp.Or(result.After, "not shown"))
	}
	p.render(w, status, "job.html", c)
}
