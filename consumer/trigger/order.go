package trigger

import (
	"cmp"
	"strings"
)

// stamp is what a notification says about the order of the changes of one object.
type stamp struct {
	format    Format
	sequencer string
	// version is the version that was created, or the only one that was deleted.
	version string
	// marker is the version of the delete marker that was created or removed.
	marker string
	// at is the store's time in nanoseconds since 1970; 0 if the notification has none.
	at int64
}

func (c *Change) stamp() stamp {
	s := stamp{format: c.Format, sequencer: c.Sequencer, version: c.Version, marker: c.Marker}
	if !c.Time.IsZero() {
		s.at = c.Time.UnixNano()
	}
	return s
}

// order returns a negative number if s happened before other, a positive one if after, and 0
// if both have the same sequencer. sure is false where the rule of the format does not surely
// hold: without sequencers of one format, for sequencers that the format's own store does not
// write, and if the times say the opposite.
func (s *stamp) order(other *stamp) (order int, sure bool) {
	a, b := s.sequencer, other.sequencer
	switch {
	case s.format != other.format || a == "" || b == "":
		return 0, false
	case a == b:
		return 0, true
	}
	times := 0
	if s.at != 0 && other.at != 0 {
		times = cmp.Compare(s.at, other.at)
	}
	switch s.format {
	case FormatScality, FormatNooBaa, FormatRustFS, FormatVersity:
		// A counter of one process, a time of one host, or both.
		return 0, false
	case FormatCeph:
		// Its sequencer is the hex dump of a time in the byte order of the
		// machine (populate_record_from_request in its rgw_notify.cc).
		return times, times != 0
	case FormatEventGrid, FormatAzureCloudEvents:
		order, sure = strings.Compare(a, b), len(a) == len(b) // Microsoft documents a plain string comparison
	case FormatPubSub, FormatEventarc:
		sure = digits(a, "0123456789") && digits(b, "0123456789")
		a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		order = cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) // a number
	default:
		// AWS pads the shorter one on its right. Imitators write numbers without padding:
		// 9, A, 10. With one length, both rules agree.
		order, sure = compareHex(a, b), len(a) == len(b) && digits(a, hexDigits) && digits(b, hexDigits)
	}
	return order, sure && (times == 0 || times < 0 == (order < 0))
}

// removes reports whether a deletion that was received after a creation surely removed what
// that created. If it is not sure, a backup of an object that is gone does no harm, and the
// missing backup of an object that is there would.
func (s *stamp) removes(created *stamp) bool {
	if s.version != "" && s.version != created.version {
		return false
	}
	if s.marker != "" && created.version != "" && created.version != nullVersion {
		return false // the version stays, and is the content again when the delete marker is removed
	}
	order, sure := s.order(created)
	switch {
	case s.version != "" && s.version != nullVersion:
		return true // a version is created once
	case sure && order == 0:
		// A generation of GCS is created and deleted under the same number, and MinIO may
		// repeat the time of the version.
		return s.format == FormatPubSub || s.format == FormatEventarc || s.version != ""
	default:
		return sure && order > 0
	}
}

// repeats reports whether both are about the same change of an object.
func (s *stamp) repeats(other *stamp) bool {
	order, sure := s.order(other)
	return sure && order == 0 && s.version == other.version
}

// moves reports whether one of two deletions made a delete marker, and the other removed it:
// both name the same marker, and they are not the same notification twice.
func (s *stamp) moves(other *stamp) bool {
	if other.marker == "" || s.version != other.marker && s.marker != other.marker {
		return false
	}
	return s.sequencer != other.sequencer
}

// nullVersion is the version of an object that was written without versioning. It may be
// written any number of times.
const nullVersion = "null"

const hexDigits = "0123456789abcdefABCDEF"

// digits reports whether a text has only digits of the alphabet.
func digits(s, alphabet string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
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
