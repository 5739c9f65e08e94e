package trigger

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Format is the kind of document that a change was read from.
type Format string

// Formats has the formats that are decoded.
var Formats = []Format{
	FormatS3, FormatEventBridge, FormatMinIO, FormatCeph, FormatS3Compatible, FormatEventGrid, FormatAzureCloudEvents, FormatPubSub, FormatEventarc,
	FormatSNS, FormatR2, FormatB2, FormatOCI, FormatIBM, FormatOSS, FormatScality, FormatNooBaa, FormatRustFS, FormatVersity, FormatTest,
}

// The formats that are decoded. Envelopes around them (SNS, SQS, a push subscription, a
// CloudEvent of another type) have no format of their own.
const (
	FormatS3               Format = "aws-s3"
	FormatEventBridge      Format = "aws-eventbridge"
	FormatMinIO            Format = "minio"
	FormatCeph             Format = "ceph"
	FormatS3Compatible     Format = "s3-compatible"
	FormatEventGrid        Format = "azure-event-grid"
	FormatAzureCloudEvents Format = "azure-cloudevents"
	FormatPubSub           Format = "gcs-pubsub"
	FormatEventarc         Format = "gcs-eventarc"
	FormatSNS              Format = "aws-sns"
	FormatR2               Format = "cloudflare-r2"
	FormatB2               Format = "backblaze-b2"
	FormatOCI              Format = "oci"
	FormatIBM              Format = "ibm-cos"
	FormatOSS              Format = "alibaba-oss"
	FormatScality          Format = "scality"
	FormatNooBaa           Format = "noobaa"
	FormatRustFS           Format = "rustfs"
	FormatVersity          Format = "versity"
	FormatTest             Format = "test"
)

// Kind is what happened to an object.
type Kind string

const (
	// KindCreated: the object has new content, its first or another.
	KindCreated Kind = "created"
	// KindDeleted: the object, or one version of it, is gone.
	KindDeleted Kind = "deleted"
	// KindNone: no content changed. Note has the reason.
	KindNone Kind = "none"
)

// Change is one change that a notification reports. A rename is two changes: the new name
// is created, the old one deleted.
type Change struct {
	Format Format
	// Event is the store's name of the event.
	Event string
	Kind  Kind
	// Note is why no content changed; "" unless Kind is [KindNone].
	Note string

	// System is the storage system, as far as the notification says it: "aws:<region>",
	// "minio:<deployment id>", "azure", "gcs", "r2", "b2", "ibm-cos", "oci:<region>",
	// "oss:<region>". If it does not, System is the last token of the
	// subject that the notification was published on.
	System string
	// Source is what the notification calls its sender, such as the eventSource of records of
	// S3; "" if it does not.
	Source string
	// Subject is the subject of the notification; "" if it has not been published.
	Subject string
	// Account is, in lower case, the storage account of Azure, the namespace of OCI or the
	// account of Cloudflare R2; "" elsewhere. Containers of two accounts may have the same name.
	Account string
	// Container is the bucket or container.
	Container string
	// Key is the object's name, byte for byte, decoded once if its format
	// encodes it. With Tree it ends in a slash.
	Key string
	// Raw is the key as the notification has it, if it is not known whether that is encoded.
	// Key is decoded then.
	Raw string
	// Tree is set for a renamed or deleted directory: everything below Key changed.
	Tree bool
	// Broken is set if the notification names the container and no key. Key is empty then,
	// and Tree is set.
	Broken bool

	// Size is in bytes, or -1 if the notification has none.
	Size int64
	// Time is the store's time of the change; zero if the notification has none.
	Time time.Time
	// Sequencer orders the changes of one object by the rule of its format.
	Sequencer string
	// Version is the version that was created, or the only one that was
	// deleted; "" if the object has none, or all of it was deleted.
	Version string
	// User is who made the change, as the store names it; "" if it does not.
	User string
	// Marker is the version of the delete marker, if the deletion made or removed one.
	Marker string
	// sole is set if no other system has the name in System. Otherwise, two subjects may have
	// notifications of two systems.
	sole bool
	// reading is how the key was read, if it is not known whether it is encoded.
	reading Keys
}

// From completes a change with the subject on which its notification was published.
func (c *Change) From(subject string) {
	c.Subject = subject
	if c.System == "" {
		c.System = subject[strings.LastIndexByte(subject, '.')+1:]
	}
}

// maxPath is the longest line of a directive file. The vendor documents no limit; this is
// the limit of file systems.
const maxPath = 4096

// Path returns the change as a line of a directive file, "/container/key". If the file cannot
// have such a line, Path returns the reason as why. A directive file has one path per line,
// is read as UNIX paths, and has no escapes; a path that ends in a slash is a whole
// directory. An object without a line is backed up by a plain INCREMENTAL only.
func (c Change) Path() (path, why string) {
	path = "/" + c.Container + "/" + c.Key
	switch {
	case c.Kind != KindCreated:
		return "", "only what was created can be listed"
	case c.Broken:
		return "", "its notification names no key"
	case c.Raw != "":
		return "", "its key may be encoded or not: the sender is neither AWS nor MinIO by its marks, and the key has a + or %"
	case strings.Contains(c.Container, "/"):
		return "", "its container has a slash in its name"
	case c.Container == "." || c.Container == "..":
		return "", "its container is . or .. in a path"
	case unprintable(c.Container), strings.TrimSpace(c.Container) != c.Container:
		return "", "its container has characters that end or hide a line"
	case len(path) > maxPath:
		return "", "its path is longer than 4096 bytes"
	case !utf8.ValidString(path):
		return "", "its key is not UTF-8"
	case unprintable(c.Key):
		return "", "its key has control characters, or others that end a line"
	case strings.TrimSpace(c.Key) != c.Key:
		return "", "its key begins or ends with a space"
	}
	key := c.Key
	if c.Tree {
		key = strings.TrimSuffix(key, "/")
	}
	for segment := range strings.SplitSeq(key, "/") {
		switch segment {
		case "":
			return "", "its key has an empty part between slashes"
		case ".", "..":
			return "", "its key has a part that is . or .. in a path"
		}
	}
	return path, ""
}

// unprintable reports whether a text has control characters, or characters at which some
// readers end a line: U+0085, U+2028 and U+2029.
func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || c == 0x2028 || c == 0x2029 })
}
