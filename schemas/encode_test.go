package schemas

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

// FuzzEncodeEvent compares what is written member by member with what reflection writes.
func FuzzEncodeEvent(f *testing.F) {
	f.Add("billing", "inv-7", int64(7), true)
	f.Add("", "\xff<é\u2028\"\\\n", int64(0), false)
	f.Fuzz(func(t *testing.T, a, b string, n int64, yes bool) {
		at := time.Unix(n%(1<<33), n%1e9)
		naming := Naming{RequestID: a, Source: b, ClientName: a, InstanceName: b, BackupsetName: a, SubclientName: b, StoragePolicyName: a,
			BackupLevel: b, OnDemandInputFile: a, Labels: map[string]string{a: b, "z": a, "b": ""}, ReplayOf: b}
		request := BackupRequest{RequestID: a, ClientName: b, InstanceName: a, BackupsetName: b, SubclientName: a, StoragePolicyName: b,
			AppName: a, BackupLevel: b, AdHocBackup: yes, OnDemandInputFile: a, NotAfter: at, Labels: naming.Labels}
		message := Message{RequestedAt: at, PayloadHash: a}
		omitted := map[string]int{"labels": int(n % 100), "jobIds": 3}
		for _, e := range []Event{
			&JobSubmitting{}, &JobStarted{}, &JobStarted{JobIDs: []string{}}, &JobFailed{ErrorCode: a},
			&JobSubmitting{RequestID: a, Source: b, ReplayOf: a, Request: request, Message: message, Claim: Claim{Owner: b, Nonce: a, Epoch: int(n % 1000),
				LeaseMillis: n % (1 << 50), DoubtSequence: uint64(n) % (1 << 52), DoubtTaskID: b, DoubtUnlikely: yes}, SubmittingAt: at, Omitted: omitted},
			&JobStarted{Naming: naming, Message: message, JobID: a, JobIDs: []string{a, b}, TaskID: b, Attempts: int(n % 1000), StartedAt: at, Adopted: yes, Omitted: omitted},
		} {
			if got, want := EncodeEvent(e), mustMarshal(e); !bytes.Equal(got, want) {
				t.Errorf("%T:\n%s, want\n%s", e, got, want)
			}
		}
		for _, r := range []BackupRequest{{}, request} {
			if got, want := r.JSON(), mustMarshal(r); !bytes.Equal(got, want) {
				t.Errorf("%s, want\n%s", got, want)
			}
		}
	})
}

// TestEncode_hasEveryMember finds a member that was added to a type and is not written.
func TestEncode_hasEveryMember(t *testing.T) {
	t.Parallel()
	for _, e := range []Event{&JobSubmitting{}, &JobStarted{}} {
		fill(reflect.ValueOf(e).Elem())
		if got, want := EncodeEvent(e), mustMarshal(e); !bytes.Equal(got, want) {
			t.Errorf("%T:\n%s, want\n%s", e, got, want)
		}
	}
}

// fill sets every field to a value other than zero.
func fill(v reflect.Value) {
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 11, 23, 10, 0, 0, 5, time.UTC)))
		return
	case map[string]string:
		v.Set(reflect.ValueOf(map[string]string{"b": "1", "a": "2"}))
		return
	case map[string]int:
		v.Set(reflect.ValueOf(map[string]int{"b": 1, "a": 2}))
		return
	case []string:
		v.Set(reflect.ValueOf([]string{"1", "2"}))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(7)
	case reflect.Uint64:
		v.SetUint(7)
	default:
		panic("no value for " + v.Type().String())
	}
}

func BenchmarkEncodeEvent(b *testing.B) {
	e := &JobSubmitting{}
	fill(reflect.ValueOf(e).Elem())
	for name, encode := range map[string]func() []byte{"written": func() []byte { return EncodeEvent(e) }, "reflected": func() []byte { return mustMarshal(e) }} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encode()
			}
		})
	}
}
