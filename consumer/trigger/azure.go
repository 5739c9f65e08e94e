package trigger

import (
	"cmp"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

const azurePrefix = "Microsoft.Storage."

// azureData is the data of an event of Azure storage, the same in both schemas.
type azureData struct {
	API           text   `json:"api"`
	ContentLength number `json:"contentLength"`
	URL           text   `json:"url"`
	NewURL        text   `json:"destinationUrl"` // of a rename, in the place of url
	SourceURL     text   `json:"sourceUrl"`
	Sequencer     text   `json:"sequencer"`
}

// azureEvent is an event of Azure storage, in Event Grid's schema or as a CloudEvent.
type azureEvent struct {
	format Format
	kind   text
	origin text // the topic or the source, which has the path of the account
	// subject has the container and the name of the blob.
	subject, time text
	data          jsontext.Value
}

// ofAzure reports whether an event of this type comes from Azure storage.
func ofAzure(kind text) bool {
	return strings.HasPrefix(string(kind), azurePrefix) || strings.HasPrefix(string(kind), "Microsoft.EventGrid.")
}

// azure reads an event of Azure storage.
func (d *decoder) azure(event azureEvent) {
	var e azureData
	if err := json.Unmarshal(orNull(event.data), &e); err != nil {
		d.fault("data is not as Azure storage writes it: %v", err)
		return
	}
	account := azureAccount(string(event.origin))
	container, key := azureSubject(string(event.subject))
	if d.headers {
		// A sender of headers may have encoded them or not: a raw percent sign looks like an
		// encoded byte. The URL is always encoded.
		of, path, ok := azureURL(cmp.Or(e.URL, e.NewURL))
		if ok && of == account { // an emulator, or an address without a name
			of, path, ok = strings.Cut(path, "/")
		}
		if ok && of == container {
			key = path
		}
	}
	c := Change{
		Format: event.format, Event: strings.TrimPrefix(string(event.kind), azurePrefix), System: "azure", sole: true, Account: account, Container: container, Key: key,
		Size: e.ContentLength.or(-1), Time: timeOf(event.time), Sequencer: string(e.Sequencer),
	}
	if e.API != "" {
		c.Event += " " + string(e.API)
	}
	switch string(event.kind) {
	case azurePrefix + "BlobCreated":
		c.Kind = KindCreated
		if e.API == "CreateFile" || e.API == "SftpCreate" {
			c.Kind, c.Note = KindNone, "the file is still empty; FlushWithClose or SftpCommit tells that it is written"
		}
	case azurePrefix + "BlobDeleted":
		c.Kind = KindDeleted
	case azurePrefix + "DirectoryDeleted":
		c.Kind = KindDeleted
		d.tree(c)
		return
	case azurePrefix + "BlobRenamed":
		c.Kind = KindCreated
		d.object(c, "subject", "subject")
		d.renamedFrom(c, e.SourceURL, d.object)
		return
	case azurePrefix + "DirectoryRenamed":
		c.Kind = KindCreated
		d.tree(c)
		d.renamedFrom(c, e.SourceURL, func(c Change, _, _ string, _ ...any) { d.tree(c) })
		return
	case azurePrefix + "DirectoryCreated":
		c.Kind, c.Note = KindNone, "a directory, with nothing in it yet"
	case "Microsoft.EventGrid.SubscriptionValidationEvent":
		c.Kind, c.Note = KindNone, "Event Grid asks to validate the subscription; whatever brings its events to NATS must answer"
	default:
		c.Kind, c.Note = KindNone, "not an event that changes content"
	}
	d.object(c, "subject has no container:", "subject has no blob:")
}

// tree adds a change of everything below a directory.
func (d *decoder) tree(c Change) {
	if c.Key != "" && !strings.HasSuffix(c.Key, "/") {
		c.Key += "/"
	}
	c.Tree, c.Size = true, -1
	d.object(c, "subject", "subject")
}

// renamedFrom adds the deletion of the old name. It adds nothing if source cannot be read:
// the backup of the new name must not fail for that.
func (d *decoder) renamedFrom(c Change, source text, add func(c Change, container, key string, args ...any)) {
	container, key, ok := azureURL(source)
	if !ok {
		return
	}
	c.Kind, c.Container, c.Key, c.Size = KindDeleted, container, key, -1
	add(c, "", "")
}

// azureURL splits "https://ACCOUNT/C/PATH", in which the path is encoded.
func azureURL(address text) (container, key string, ok bool) {
	_, rest, _ := strings.Cut(string(address), "://")
	_, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return "", "", false
	}
	container, key, _ = strings.Cut(path, "/")
	return container, key, container != "" && key != ""
}

// azureAccount returns the account of a resource id, "…/storageAccounts/NAME". Resource ids
// compare case-insensitively, and names of accounts have lower case only.
func azureAccount(id string) string {
	_, account, _ := strings.Cut(strings.ToLower(id), "/storageaccounts/")
	account, _, _ = strings.Cut(account, "/")
	return account
}

// azureSubject splits "/blobServices/default/containers/C/blobs/PATH", in which the path is
// not encoded.
func azureSubject(subject string) (container, key string) {
	_, rest, _ := strings.Cut(subject, "/containers/")
	container, key, _ = strings.Cut(rest, "/blobs/")
	return container, key
}
