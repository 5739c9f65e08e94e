package batch_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"backhaul/cmd/internal/batch"
)

func request(id, group string) string {
	if id != "" {
		id = fmt.Sprintf(`"requestId":%q,`, id)
	}
	return fmt.Sprintf(`{%s"clientName":"s-adhoc-object-storage","subclientName":%q}`, id, group)
}

func lines(documents ...string) string { return strings.Join(documents, "\n") + "\n" }

// ReadFile reports all faults at once, each with its line.
func TestReadFile_ReportsEveryFault(t *testing.T) {
	t.Parallel()
	good := request("a", "g")
	for name, c := range map[string]struct {
		data string
		want []string // beginnings of all faults
	}{
		"empty":               {"", []string{"f: the file has no requests"}},
		"only white space":    {" \n\t\n", []string{"f: the file has no requests"}},
		"UTF-16":              {"\xff\xfe{\x00}\x00", []string{"f:1: is not valid JSON: it is UTF-16"}},
		"not JSON":            {"clientName,subclientName\nc,g\n", []string{"f:1: is not valid JSON"}},
		"an array":            {"[" + good + "]", []string{"f:1: invalid request"}},
		"unknown member":      {lines(good, `{"clientName":"c","subclient":"g"}`), []string{"f:2: invalid request"}},
		"given twice":         {`{"clientName":"c","clientName":"c","subclientName":"g"}`, []string{"f:1: invalid request"}},
		"not UTF-8":           {lines(good, "{\"clientName\":\"\xff\",\"subclientName\":\"g\"}"), []string{"f:2: "}},
		"same id":             {lines(good, request("b", "g"), request("a", "other")), []string{`f:3: requestId "a" is used in line 1 with other content`}},
		"after empty lines":   {"\n\n" + good + "\r\n\r\n" + `{"clientName":"c"}`, []string{"f:5: invalid request"}},
		"over several lines":  {lines(good, "{\n\"clientName\":\"c\",\n\"subclientName\":7}", `{}`), []string{"f:2: invalid request", "f:5: invalid request"}},
		"a broken line":       {lines(good, `{"clientName":"c",`+"}", good, `{"clientName":7}`), []string{"f:2: is not valid JSON", "f:4: invalid request"}},
		"an open line":        {lines(`{"clientName":"c"`, good, `{}`), []string{"f:2: is not valid JSON", "f:3: invalid request"}},
		"rubbish between":     {lines(good, "rubbish", `{}`, "rubbish"), []string{"f:2: is not valid JSON", "f:3: invalid request", "f:4: is not valid JSON"}},
		"cut off":             {good + "\n" + `{"clientName":"c","subcl`, []string{"f:2: is not valid JSON"}},
		"two on one line":     {request("b", "g") + request("b", "other"), []string{`f:1: requestId "b"`}},
		"larger than allowed": {lines(good, request("b", strings.Repeat("x", 300<<10))), []string{"f:2: invalid request"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := batch.ReadFile("f", []byte(c.data), "b")
			faults := new(batch.FileError)
			if !errors.As(err, &faults) {
				t.Fatalf("got %v", err)
			}
			if len(faults.Faults) != len(c.want) {
				t.Fatalf("%d faults, want %d:\n%v", len(faults.Faults), len(c.want), err)
			}
			for i, fault := range faults.Faults {
				if !strings.HasPrefix(fault.Error(), c.want[i]) {
					t.Errorf("fault %d is %q, want %q…", i, fault, c.want[i])
				}
			}
		})
	}
}

func TestFileError_CountsManyFaults(t *testing.T) {
	t.Parallel()
	_, err := batch.ReadFile("f", []byte(strings.Repeat("{}\n", 1000)), "b")
	if err == nil || !strings.HasSuffix(err.Error(), "and 950 more") || !strings.Contains(err.Error(), "f:50: ") || strings.Contains(err.Error(), "f:51: ") {
		t.Errorf("got %v", err)
	}
}

func TestReadFile(t *testing.T) {
	t.Parallel()
	data := "\xef\xbb\xbf" + request("a", "1") + "\r\n\n" + strings.ReplaceAll(request("b", "2"), ",", ",\n\t") + request("a", "1") +
		`{"specversion":"1.0","id":"c","source":"/x","type":"t","data":` + request("", "3") + `}`
	file, err := batch.ReadFile("f", []byte(data), "b")
	if err != nil {
		t.Fatal(err)
	}
	if got := ids(file); !slices.Equal(got, []string{"a", "b", "c"}) || file.Merged != 1 || file.Derived != 0 {
		t.Errorf("got %v, %d merged, %d derived", got, file.Merged, file.Derived)
	}
	if got := file.Requests[1].BackupsetName; got == "" {
		t.Error("the requests are not normalised")
	}
}

func ids(file batch.File) []string {
	var all []string
	for _, req := range file.Requests {
		all = append(all, req.RequestID)
	}
	return all
}

// Derived ids are the same in every run, even if requests were added or moved. Equal lines
// remain separate requests.
func TestReadFile_DerivesStableIDs(t *testing.T) {
	t.Parallel()
	read := func(name, batchName, data string) []string {
		t.Helper()
		file, err := batch.ReadFile(name, []byte(data), batchName)
		if err != nil {
			t.Fatal(err)
		}
		return ids(file)
	}
	first := read("f", "b", lines(request("", "1"), request("", "2"), request("", "1")))
	if len(first) != 3 || first[0] == first[1] || first[0] == first[2] || first[1] == first[2] {
		t.Fatalf("got %v, want three ids", first)
	}
	if again := read("elsewhere/f", "b", lines(request("x", "9"), request("", "2"), request("", "1"), request("", "1"), request("", "3"))); !slices.Equal(again[1:4], []string{first[1], first[0], first[2]}) {
		t.Errorf("the same requests are %v and %v", first, again)
	}
	// A request with an explicit default has the same id as without it.
	explicit := `{"subclientName":"2", "clientName":"s-adhoc-object-storage","backupLevel":"INCREMENTAL"}`
	if got := read("f", "b", lines(explicit)); got[0] != first[1] {
		t.Errorf("an explicit default gives %s, want %s", got[0], first[1])
	}
	if other := read("f", "c", lines(request("", "1"))); other[0] == first[0] {
		t.Error("another batch has the same ids")
	}
}
