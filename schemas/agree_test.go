package schemas_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"backhaul/schemas"
)

// sample is the request of DESIGN.md.
const sample = `{"requestId":"inv-2026-11-23-0007","clientName":"s-adhoc-object-storage","instanceName":"s-adhoc-object-storage",
 "backupsetName":"defaultBackupSet","subclientName":"stestgroup","storagePolicyName":"default-plan",
 "appName":"Cloud Apps","backupLevel":"INCREMENTAL","adHocBackup":true,
 "onDemandInputFile":"/sk/s-directive-file-blob.txt","notAfter":"2026-11-24T00:00:00Z","labels":{"ticket":"CHG-17"}}`

// Schema and decoder are written separately, for different readers. This compares
// them: for any document that is JSON at all, without a name given
// twice, both say yes or both say no.
func TestDecodeRequest_agreesWithTheSchema(t *testing.T) {
	schema := compile(t, "backup-request.v1", "")
	verdicts := make(map[bool]int)
	rapid.Check(t, func(rt *rapid.T) {
		for range 40 {
			data := marshal(t, document().Draw(rt, "document"))
			bySchema := schema.Validate(parse(t, data))
			_, byDecoder := schemas.DecodeRequest(nil, data)
			if (bySchema == nil) != (byDecoder == nil) {
				rt.Fatalf("%s\nschema:  %v\ndecoder: %v", data, bySchema, byDecoder)
			}
			verdicts[byDecoder == nil]++
		}
	})
	// A generator that makes one kind only would prove nothing.
	total := verdicts[true] + verdicts[false]
	t.Logf("%d documents, %d valid", total, verdicts[true])
	if verdicts[true] < total/5 || verdicts[false] < total/5 {
		t.Errorf("of %d documents %d were valid, want 20 to 80 %%", total, verdicts[true])
	}
}

// document is the sample with up to three changes, most of which are legal.
func document() *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		if chance(t, 30, "no object") {
			return junk().Draw(t, "root")
		}
		var doc map[string]any
		if err := json.Unmarshal([]byte(sample), &doc); err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(doc))
		for range rapid.IntRange(0, 3).Draw(t, "changes") {
			name := rapid.SampledFrom(names).Draw(t, "member")
			switch {
			case chance(t, 5, "drop"):
				delete(doc, name)
			case chance(t, 20, "unknown"):
				doc[unknownName(name).Draw(t, "name")] = junk().Draw(t, "value")
			case chance(t, 20, "rename"):
				doc[unknownName(name).Draw(t, "name")] = doc[name]
				delete(doc, name)
			case chance(t, 12, "junk"):
				doc[name] = junk().Draw(t, "value")
			default:
				doc[name] = value(name).Draw(t, "value")
			}
		}
		return doc
	})
}

func chance(t *rapid.T, oneIn int, label string) bool {
	return rapid.IntRange(1, oneIn).Draw(t, label) == oneIn
}

func value(member string) *rapid.Generator[any] {
	switch member {
	case "backupLevel":
		return rapid.OneOf(
			rapid.SampledFrom([]any{"FULL", "INCREMENTAL", "DIFFERENTIAL", "SYNTHETIC_FULL"}),
			rapid.SampledFrom([]any{"full", "Full", "FULL ", "SYNTHFULL", "TRANSACTION_LOG", "", 2, nil}),
		)
	case "adHocBackup":
		return rapid.SampledFrom([]any{true, false, true, false, "true", "", 0, 1, nil})
	case "notAfter":
		return rapid.OneOf(instant().AsAny(), instant().AsAny(), moment().AsAny())
	case "labels":
		return labels().AsAny()
	case "onDemandInputFile":
		return rapid.Custom(func(t *rapid.T) any {
			slash := rapid.SampledFrom([]string{"/", "/", "/", "", " /"}).Draw(t, "slash")
			return slash + text(4096-1).Draw(t, "path")
		})
	default:
		return text(256).AsAny()
	}
}

// text is about limit characters long as often as it is short.
func text(limit int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		s := rapid.SampledFrom([]string{"a", " ", "ß", "漢", "😀", "e\u0301", "\u0080", "\u2028", "\ufffd", "\U0010ffff", `"\/`}).Draw(t, "text")
		switch n := rapid.IntRange(0, 9).Draw(t, "shape"); {
		case n < 3:
			return rapid.StringN(1, 20, -1).Draw(t, "any")
		case n < 6:
			length := limit + rapid.SampledFrom([]int{-1, 0, 0, 1}).Draw(t, "length")
			return string([]rune(strings.Repeat(s, length))[:length])
		case n == 6:
			bad := rapid.SampledFrom([]string{"\x00", "\t", "\n", "\r", "\x1f", "\x7f", "\ufffe", "\uffff"}).Draw(t, "bad")
			return rapid.SampledFrom([]string{"", "x"}).Draw(t, "before") + bad + rapid.SampledFrom([]string{"", "x"}).Draw(t, "behind")
		default:
			return s
		}
	})
}

// instant has one flaw at most, and often none.
func instant() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		return rapid.SampledFrom([]string{"2026", "2000", "2999", "2024"}).Draw(t, "year") + "-" +
			rapid.SampledFrom([]string{"02-28", "01-31", "12-31", "06-30", "02-29", "02-30", "04-31", "13-01", "00-10", "10-00", "1-1"}).Draw(t, "day") +
			rapid.SampledFrom([]string{"T", "T", "T", "T", "t", " "}).Draw(t, "T") +
			rapid.SampledFrom([]string{"00:00:00", "23:59:59", "12:30:00", "01:02:03", "23:59:60", "24:00:00", "9:00:00", "12:60:00"}).Draw(t, "time") +
			rapid.SampledFrom([]string{"", "", "", ".5", ".000", ".123456789", ".1234567891", ".", ",5"}).Draw(t, "fraction") +
			rapid.SampledFrom([]string{"Z", "Z", "Z", "+01:00", "-23:59", "+00:00", "-00:00", "z", "", "+24:00", "+0100", "+01:60", "+01"}).Draw(t, "zone")
	})
}

// moment is well formed, anywhere in the calendar.
func moment() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		year := rapid.OneOf(rapid.IntRange(0, 9999), rapid.SampledFrom([]int{0, 1, 999, 1000, 1999, 2000, 2999, 3000, 9999})).Draw(t, "year")
		return fmt.Sprintf("%04d-%s%s", year,
			rapid.SampledFrom([]string{"01-01T00:00:00", "12-31T23:59:59", "02-29T00:00:00"}).Draw(t, "day"),
			rapid.SampledFrom([]string{"Z", "+00:00", "-00:00", "+01:00", "-01:00", "+10:00"}).Draw(t, "zone"))
	})
}

func labels() *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		m := make(map[string]any)
		for i := range rapid.SampledFrom([]int{0, 1, 1, 2, 31, 32, 33}).Draw(t, "count") {
			m[fmt.Sprintf("label-%d", i)] = "x"
		}
		if len(m) > 0 && chance(t, 2, "change") {
			delete(m, "label-0")
			key := rapid.SampledFrom([]string{"a", "9", "a.b_c/d-e", strings.Repeat("k", 63),
				"", "-a", "a b", "ä", "a\n", strings.Repeat("k", 64)}).Draw(t, "key")
			m[key] = rapid.OneOf(text(256).AsAny(), text(256).AsAny(), junk()).Draw(t, "value")
		}
		return m
	})
}

// junk is hardly ever right, wherever it stands.
func junk() *rapid.Generator[any] {
	leaf := rapid.SampledFrom([]any{nil, true, 0, -1, 1.5, 1e300, "", "x", []any{}, map[string]any{}})
	return rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) any {
		return map[string]any{"clientName": leaf.Draw(t, "leaf"), "a": []any{leaf.Draw(t, "leaf"), map[string]any{"": leaf.Draw(t, "leaf")}}}
	}), rapid.Custom(func(t *rapid.T) any {
		return []any{leaf.Draw(t, "leaf"), leaf.Draw(t, "leaf")}
	}))
}

func unknownName(name string) *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom([]string{strings.ToLower(name), strings.ToUpper(name), name + " ", name + "s", "", "x", "$schema", "a/b~c", "名前"}),
		rapid.StringN(1, 20, -1),
	)
}
