package trigger

import (
	"strings"
	"testing"
	"time"
)

// Whether a deletion that was received after a creation surely removed its content.
func TestStamp_removes(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC).UnixNano()
	of := func(format Format, sequencer, version string) stamp {
		return stamp{format: format, sequencer: sequencer, version: version, at: at}
	}
	after := func(s stamp) stamp { s.at += int64(time.Second); return s }
	untimed := func(s stamp) stamp { s.at = 0; return s }
	for name, c := range map[string]struct {
		deletion, creation stamp
		want               bool
	}{
		"later":                               {of(FormatS3, "0055AED6DCD90281E6", ""), of(FormatS3, "0055AED6DCD90281E5", ""), true},
		"earlier":                             {of(FormatS3, "0055AED6DCD90281E5", ""), of(FormatS3, "0055AED6DCD90281E6", ""), false},
		"later, in lower case":                {of(FormatS3, "0a", ""), of(FormatS3, "09", ""), true},
		"later, in either case":               {of(FormatS3, "0B", ""), of(FormatS3, "0a", ""), true},
		"the same":                            {of(FormatS3, "0A", ""), of(FormatS3, "0A", ""), false},
		"a counter with another length":       {of(FormatS3, "10", ""), of(FormatS3, "9", ""), false},
		"a counter with one, padded later":    {of(FormatS3, "A", ""), of(FormatS3, "10", ""), false},
		"a longer time of MinIO":              {of(FormatMinIO, "17C0A0B0C0D0E0F20", ""), of(FormatMinIO, "17C0A0B0C0D0E0F1", ""), false},
		"no sequencer":                        {of(FormatS3, "", ""), of(FormatS3, "", ""), false},
		"a sequencer of one only":             {of(FormatS3, "2", ""), of(FormatS3, "", ""), false},
		"two formats":                         {of(FormatEventBridge, "2", ""), of(FormatS3, "1", ""), false},
		"no hex":                              {of(FormatS3Compatible, "0G", ""), of(FormatS3Compatible, "0A", ""), false},
		"no hex before":                       {of(FormatS3Compatible, "0F", ""), of(FormatS3Compatible, "0-", ""), false},
		"later by sequencer, earlier by time": {of(FormatS3, "2", ""), after(of(FormatS3, "1", "")), false},
		"later by both":                       {after(of(FormatS3, "2", "")), of(FormatS3, "1", ""), true},
		"later, without a time":               {untimed(of(FormatS3, "2", "")), after(of(FormatS3, "1", "")), true},
		"MinIO":                               {of(FormatMinIO, "17C0A0B0C0D0E0F2", ""), of(FormatMinIO, "17C0A0B0C0D0E0F1", ""), true},
		"MinIO, the time of the null version": {of(FormatMinIO, "17C0A0B0C0D0E0F1", "null"), of(FormatMinIO, "17C0A0B0C0D0E0F1", "null"), true},
		"MinIO, a null version written anew":  {of(FormatMinIO, "17C0A0B0C0D0E0F1", "null"), of(FormatMinIO, "17C0A0B0C0D0E0F2", "null"), false},
		"Azure":                               {of(FormatEventGrid, "0B", ""), of(FormatEventGrid, "0A", ""), true},
		"Azure, of another length":            {of(FormatEventGrid, "0A00", ""), of(FormatEventGrid, "0A", ""), false},
		"Azure, no hex":                       {of(FormatAzureCloudEvents, "0Z", ""), of(FormatAzureCloudEvents, "0A", ""), true},
		"GCS: numbers":                        {of(FormatPubSub, "1000", ""), of(FormatPubSub, "999", ""), true},
		"GCS: no numbers":                     {of(FormatPubSub, "1000", ""), of(FormatPubSub, "99A", ""), false},
		"GCS: its generation":                 {of(FormatPubSub, "7", ""), of(FormatPubSub, "7", ""), true},
		"GCS: an old generation":              {of(FormatPubSub, "6", ""), of(FormatPubSub, "7", ""), false},
		"Eventarc: its generation":            {of(FormatEventarc, "7", ""), of(FormatEventarc, "7", ""), true},
		"Eventarc: numbers":                   {of(FormatEventarc, "1000", ""), of(FormatEventarc, "999", ""), true},
		"Scality":                             {of(FormatScality, "0B", ""), of(FormatScality, "0A", ""), false},
		"NooBaa":                              {of(FormatNooBaa, "19ab1c2d3e5", ""), of(FormatNooBaa, "19ab1c2d3e4", ""), false},
		"RustFS":                              {of(FormatRustFS, "17C0A0B0C0D0E0F2", ""), of(FormatRustFS, "17C0A0B0C0D0E0F1", ""), false},
		"RustFS, the version":                 {of(FormatRustFS, "", "v1"), of(FormatRustFS, "", "v1"), true},
		"Versity, counted by two gateways":    {of(FormatVersity, "A", ""), of(FormatVersity, "9", ""), false},
		"B2, the version":                     {of(FormatB2, "", "4_z1"), of(FormatB2, "", "4_z1"), true},
		"B2, another version":                 {of(FormatB2, "", "4_z2"), of(FormatB2, "", "4_z1"), false},
		"B2, hidden":                          {after(of(FormatB2, "", "")), of(FormatB2, "", "4_z1"), false},
		"Ceph: by time":                       {after(of(FormatCeph, "01", "")), of(FormatCeph, "02", ""), true},
		"Ceph: by time, earlier":              {of(FormatCeph, "02", ""), after(of(FormatCeph, "01", "")), false},
		"Ceph: at the same time":              {of(FormatCeph, "02", ""), of(FormatCeph, "01", ""), false},
		"Ceph: null versions of one time":     {of(FormatCeph, "02", "null"), of(FormatCeph, "01", "null"), false},
		"Ceph: at no time":                    {untimed(of(FormatCeph, "02", "")), of(FormatCeph, "01", ""), false},
		"an old version":                      {of(FormatS3, "3", "v1"), of(FormatS3, "2", "v2"), false},
		"its version":                         {of(FormatS3, "3", "v2"), of(FormatS3, "2", "v2"), true},
		"its version, by whatever order":      {of(FormatS3, "", "v2"), of(FormatS3, "2", "v2"), true},
		"a version of what has none":          {of(FormatS3, "3", "v2"), of(FormatS3, "2", ""), false},
		"the name of what has a version":      {of(FormatS3, "3", ""), of(FormatS3, "2", "v2"), true},
	} {
		if got := c.deletion.removes(&c.creation); got != c.want {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// A sequencer may be as long as its notification, and is compared for every change of its
// object: comparing must not copy it.
func TestStamp_copiesNoSequencer(t *testing.T) {
	long := strings.Repeat("0a", 1<<9)
	earlier := stamp{format: FormatS3, sequencer: long + "1"}
	later := stamp{format: FormatS3, sequencer: long + "A"}
	if !later.removes(&earlier) || earlier.removes(&later) {
		t.Error("the order is wrong")
	}
	// The average of many short runs: what the servers of other tests allocate counts too.
	if n := testing.AllocsPerRun(1000, func() { later.removes(&earlier) }); n > 0 {
		t.Errorf("%.0f allocations", n)
	}
}
