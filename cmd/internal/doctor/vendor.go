package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"backhaul/publisher"
	"backhaul/schemas"
	"backhaul/vendorapi"
)

// Vendor checks the way to the vendor, the login and what it lets us see. past is
// the last job that was started, unmatched the last request, if it named what the vendor does not
// have; each is nil if none is known.
func Vendor(ctx context.Context, client *vendorapi.Client, past *Past, unmatched *Mismatch) []Finding {
	all, reached := reach(ctx, client)
	if !reached {
		return all
	}
	login, loggedIn := logIn(ctx, client)
	all = append(all, login)
	if !loggedIn {
		return all
	}
	all = append(all, listJobs(ctx, client), pastJob(ctx, client, past), mayStart(past))
	if unmatched.stands(past) {
		names := unmatched.Event.Names()
		all = append(all, finding(Note, "vendor names", fmt.Sprintf("nothing matches %s/%s, which the last failed request named: %s, at %s",
			names.ClientName, names.SubclientName, unmatched.Key, unmatched.Event.FailedAt.UTC().Format(time.RFC3339)), NamesFix(ctx, client, names.ClientName)))
	}
	return all
}

// Mismatch is a request that failed because the vendor has no such client or content group.
type Mismatch struct {
	Key   publisher.Key
	Event *schemas.JobFailed
}

// stands reports whether the mismatch is worth a word: it is not old, and the job that was started
// last is not one of the same names that came after it.
func (m *Mismatch) stands(past *Past) bool {
	if m == nil || time.Since(m.Event.FailedAt) > hidden {
		return false
	}
	if past == nil || past.Event.StartedAt.Before(m.Event.FailedAt) {
		return true
	}
	failed, started := m.Event.Names(), past.Event.Names()
	return vendorapi.FoldName(failed.ClientName) != vendorapi.FoldName(started.ClientName) ||
		vendorapi.FoldName(failed.SubclientName) != vendorapi.FoldName(started.SubclientName)
}

// maxNames bounds the names that a finding lists.
const maxNames = 20

// NamesFix returns which names to give in place of those that match nothing.
func NamesFix(ctx context.Context, vendor interface {
	Clients(ctx context.Context) ([]string, error)
}, client string,
) string {
	names, err := vendor.Clients(ctx)
	same := func(name string) bool { return vendorapi.FoldName(name) == vendorapi.FoldName(client) }
	switch {
	case err != nil || len(names) == 0:
		return "see the names at the vendor, which does not list its clients to this user"
	case slices.ContainsFunc(names, same):
		return "the vendor has the client: see the name of the content group, and whether it is enabled for backups"
	case len(names) > maxNames:
		return fmt.Sprintf("the vendor has %d clients, the first of them %s", len(names), strings.Join(names[:maxNames], ", "))
	}
	return "the vendor has the clients " + strings.Join(names, ", ")
}

// certificateWarned is how long before its end a certificate is worth a word.
const certificateWarned = 14 * 24 * time.Hour

// endpointFix is what to do about a [vendorapi.EndpointError].
const endpointFix = "set BACKHAUL_VENDOR_ENDPOINT to the base of the API, with its path; the credentials are not at fault"

// reach connects to the vendor step by step.
func reach(ctx context.Context, client *vendorapi.Client) (all []Finding, reached bool) {
	r := client.Reach(ctx)
	for _, step := range r.Steps {
		check := "vendor " + step.Name
		if _, ok := errors.AsType[*vendorapi.EndpointError](step.Err); ok {
			return append(all, finding(Error, check, step.Err.Error(), endpointFix)), false
		}
		if step.Err != nil {
			return append(all, Unreachable(check, step.Err, reachFix(step))), false
		}
		all = append(all, ok(check, "%s", step.Detail))
	}
	if left := time.Until(r.CertificateEnds); !r.CertificateEnds.IsZero() && left < certificateWarned {
		all = append(all, finding(Warning, "vendor TLS", fmt.Sprintf("the certificate ends in %s", left.Round(time.Hour)), "have the vendor's certificate renewed"))
	}
	if r.SkewKnown {
		all = append(all, skewFinding("vendor clock", r.Skew))
	} else {
		all = append(all, finding(Note, "vendor clock", "cannot be known: the answer has no Date header", ""))
	}
	return all, true
}

func reachFix(step vendorapi.Step) string {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](step.Err)
	_, plain := errors.AsType[tls.RecordHeaderError](step.Err)
	_, hostname := errors.AsType[x509.HostnameError](step.Err)
	switch {
	case unknown:
		return "give the certificate authority's PEM file by BACKHAUL_VENDOR_CA; certificates are never left unchecked"
	case plain:
		return "the port of BACKHAUL_VENDOR_ENDPOINT has no TLS: use the port of the web service for https, or http:// if it is a test system"
	case hostname:
		return "use the name that the certificate is for in BACKHAUL_VENDOR_ENDPOINT"
	}
	switch step.Name {
	case "DNS":
		return "see whether BACKHAUL_VENDOR_ENDPOINT is spelled right, and the host's resolver"
	case "TCP":
		if errors.Is(step.Err, syscall.ECONNREFUSED) {
			return "nothing listens there: see whether the web service runs and whether BACKHAUL_VENDOR_ENDPOINT has its port; a firewall may refuse the connection too"
		}
		return "open the firewall to that address, or set HTTPS_PROXY"
	case "TLS":
		return "see whether the port speaks TLS 1.2 or later with one of the ciphers that were offered, and which certificate it shows: `openssl s_client -connect`"
	case "proxy":
		return "fix HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
	}
	return "see whether the web service runs; the endpoint must be the base of the API, such as https://m6.metallic.io/webconsole/api"
}

// logIn gets a token with the configured credentials.
func logIn(ctx context.Context, client *vendorapi.Client) (Finding, bool) {
	const check = "vendor login"
	err := client.LogIn(ctx)
	if err == nil {
		return ok(check, "accepted"), true
	}
	if refusal, isRefusal := errors.AsType[*vendorapi.LoginError](err); isRefusal {
		fix := "see BACKHAUL_VENDOR_USERNAME and the file of BACKHAUL_VENDOR_PASSWORD_FILE, or the token; the vendor locks accounts after wrong passwords"
		if refusal.Locked > 0 {
			fix = "have the account unlocked, or wait; then see the password"
		}
		if !refusal.Until.IsZero() {
			fix += "; each refused login counts towards that, one of this check too"
		}
		return finding(Error, check, refusal.Error(), fix), false
	}
	_, notThere := errors.AsType[*vendorapi.EndpointError](err)
	e, ofVendor := errors.AsType[*vendorapi.Error](err)
	switch {
	case notThere:
		return finding(Error, check, err.Error(), endpointFix), false
	case ofVendor && e.Verdict == vendorapi.Throttled:
		return finding(Warning, check, err.Error(), "the vendor throttles calls; try again later"), false
	case ofVendor && (e.Failing() || !e.Answered() && ofNetwork(e.Err)):
		return Unreachable(check, err, "the web service does not answer logins; see whether its services run"), false
	}
	return finding(Error, check, err.Error(), "check the credentials, and that the endpoint is the base of the API"), false
}

// ofNetwork reports whether the network caused an error, and not this host, such as a
// missing file of a secret.
func ofNetwork(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// listJobs checks that a job whose answer was lost could be found.
func listJobs(ctx context.Context, client *vendorapi.Client) Finding {
	const check = "vendor job list"
	err := client.CanListJobs(ctx)
	e, _ := errors.AsType[*vendorapi.Error](err)
	switch {
	case err == nil:
		if _, err := client.ListJobs(ctx, vendorapi.JobQuery{Category: vendorapi.ActiveJobs, Limit: 1}); vendorapi.Unsupported(err) {
			return finding(Warning, check, "GET Job is not answered, POST Jobs is: "+err.Error(),
				"a job whose answer was lost can be found, at the cost of a writing call; started jobs cannot be followed to their end: update the vendor, or set BACKHAUL_FOLLOW=false")
		}
		return ok(check, "can be read: a job whose answer was lost can be found")
	case e != nil && (e.Verdict == vendorapi.Throttled || e.Failing()):
		return finding(Warning, check, err.Error(), "try again later; while jobs cannot be listed, a lost answer stays in doubt")
	case e != nil && !e.Answered():
		return Unreachable(check, err, "the vendor did not answer in time")
	case e != nil && e.Forbidden():
		return finding(Error, check, err.Error(), "let the vendor's user view jobs, or add /Job and /Jobs to the access token's scope: without it a lost answer ends as OUTCOME_UNKNOWN")
	}
	return finding(Error, check, err.Error(), "a lost answer ends as OUTCOME_UNKNOWN as long as jobs cannot be listed")
}

// Past is a job that was started.
type Past struct {
	Key   publisher.Key
	Event *schemas.JobStarted
}

// hidden is how old a job may be whose description must be there: the vendor
// forgets old jobs.
const hidden = 7 * 24 * time.Hour

// pastJob checks that the description of a job of ours comes back: it is the proof
// by which a lost answer is found again.
func pastJob(ctx context.Context, client *vendorapi.Client, past *Past) Finding {
	const check = "vendor job description"
	if past == nil {
		return finding(Note, check, "cannot be known before a job was started", "run this check again after the first job")
	}
	id := past.Event.JobID
	text, err := client.Description(ctx, id)
	switch {
	case err != nil:
		return finding(Warning, check, fmt.Sprintf("of job %s cannot be read: %v", id, err), "let the vendor's user view task details")
	case text == past.Key.Marker():
		return ok(check, "job %s shows the one that it was started with", id)
	case text == "" && unlisted(ctx, client, id):
		return finding(Note, check, fmt.Sprintf("cannot be known: the vendor does not list job %s any more", id),
			"run this check again after another job, and see that BACKHAUL_VENDOR_ENDPOINT is the system that the jobs were started on")
	case text == "" && time.Since(past.Event.StartedAt) > hidden:
		return finding(Note, check, fmt.Sprintf("of job %s is not shown; it may be too old", id), "run this check again after another job")
	case text == "":
		return finding(Warning, check, fmt.Sprintf("of job %s is not shown: a lost answer ends as OUTCOME_UNKNOWN instead of being found", id),
			"let the vendor's user view task details (/Job/{id}/TaskDetails)")
	}
	return finding(Warning, check, fmt.Sprintf("of job %s is another than it was started with: a lost answer ends as OUTCOME_UNKNOWN, or the events are of another vendor", id),
		"see that BACKHAUL_VENDOR_ENDPOINT is the system that the jobs were started on")
}

// unlisted reports whether the vendor answers that it has no such job.
func unlisted(ctx context.Context, client *vendorapi.Client, id string) bool {
	_, err := client.Job(ctx, id)
	_, unseen := errors.AsType[*vendorapi.UnseenJobError](err)
	return unseen
}

// mayStart returns a finding on whether the user may start jobs. The vendor's API does
// not say: the number that a login returns as "capability" is not documented.
func mayStart(past *Past) Finding {
	const check = "vendor permission to start jobs"
	if past == nil {
		return finding(Note, check, "cannot be known without starting a job", "start one job of a small content group: `backhaul check --canary CLIENT/GROUP`")
	}
	return ok(check, "job %s was started at %s", past.Event.JobID, past.Event.StartedAt.UTC().Format(time.RFC3339))
}
