package trigger

import (
	"cmp"
	"strings"
	"time"
	"unicode/utf8"
)

// Format is the kind of document that a change was read from.
type Format string

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

	// Account is the Azure storage account; "" elsewhere. Containers of two
	// accounts may have the same name.
	Account string
	// Container is the bucket or container.
	Container string
	// Key is the object's name, byte for byte, decoded once if its format
	// encodes it. With Tree it ends in a slash.
	Key string
	// Tree is set for a renamed or deleted directory: everything below Key changed.
	Tree bool

	// Size is in bytes, or -1 if the notification has none.
	Size int64
	// Time is the store's time of the change; zero if the notification has none.
	Time time.Time
	// Sequencer orders the changes of one object, see [Change.Replaces].
	Sequencer string
	// Version is the version that was created, or the only one that was
	// deleted; "" if the object has none, or all of it was deleted.
	Version string
}

// SameObject reports whether both are about the same name in the same container.
func (c Change) SameObject(other Change) bool {
	return c.Key == other.Key && c.Container == other.Container && c.Account == other.Account && c.Tree == other.Tree
}

// Replaces reports whether the state of an object follows from c and not from earlier, which
// was received before c. It is false for a duplicate, for an older change that was late, and
// for a deletion of another version. Notifications are delivered at least once and in any
// order; without a sequencer, the order of delivery counts.
//
// A deleted tree replaces the creation of any object below it that is not known to be later.
func (c Change) Replaces(earlier Change) bool {
	same := c.SameObject(earlier)
	below := !same && c.Tree && c.Kind == KindDeleted && strings.HasPrefix(earlier.Key, c.Key) &&
		c.Container == earlier.Container && c.Account == earlier.Account
	switch {
	case c.Kind == KindNone || !same && !below:
		return false
	case c.Kind == KindDeleted && c.Version != "" && c.Version != earlier.Version && earlier.Kind == KindCreated:
		return false
	case below: // the sequencers of two names do not compare
		return c.Time.IsZero() || earlier.Time.IsZero() || !c.Time.Before(earlier.Time)
	}
	switch order, known := c.compare(earlier); {
	case !known:
		return true
	case order == 0:
		// A generation of GCS is created and deleted under the same number.
		return c.Kind == KindDeleted && earlier.Kind == KindCreated
	default:
		return order > 0
	}
}

// compare returns a negative number if c happened before other, a positive one if after,
// and 0 if both are the same. known is false without sequencers of one format.
func (c Change) compare(other Change) (order int, known bool) {
	a, b := c.Sequencer, other.Sequencer
	switch {
	case c.Format != other.Format || a == "" || b == "":
		return 0, false
	case a == b:
		return 0, true
	case c.Format == FormatCeph:
		// Its sequencer is the hex dump of a time in the byte order of the
		// machine (populate_record_from_request in its rgw_notify.cc).
		order = c.Time.Compare(other.Time)
		return order, order != 0
	case c.Format == FormatEventGrid || c.Format == FormatAzureCloudEvents:
		return strings.Compare(a, b), true // Microsoft documents a plain string comparison
	case c.Format == FormatPubSub || c.Format == FormatEventarc:
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)), true // a number
	default:
		return compareHex(a, b), true
	}
}

// compareHex compares as AWS documents: the shorter one is padded on its right with zeros,
// then both are compared as text.
//
// It allocates nothing: a sequencer may be as long as its notification, and is compared
// for each change of its object.
func compareHex(a, b string) int {
	for i := range max(len(a), len(b)) {
		if order := cmp.Compare(hexAt(a, i), hexAt(b, i)); order != 0 {
			return order
		}
	}
	return 0
}

// hexAt returns the digit at index i in upper case, or "0" after the end.
func hexAt(s string, i int) byte {
	switch {
	case i >= len(s):
		return '0'
	case s[i] >= 'a' && s[i] <= 'z':
		return s[i] - 'a' + 'A'
	default:
		return s[i]
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
	case strings.Contains(c.Container, "/"):
		return "", "its container has a slash in its name"
	case len(path) > maxPath:
		return "", "its path is longer than 4096 bytes"
	case !utf8.ValidString(path):
		return "", "its key is not UTF-8"
	case strings.ContainsFunc(path, func(c rune) bool { return c < 0x20 || c == 0x7f }):
		return "", "its key has control characters"
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
