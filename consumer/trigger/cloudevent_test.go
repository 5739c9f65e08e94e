package trigger

import (
	"testing"

	"backhaul/schemas"
)

func TestDecode_binaryCloudEvents(t *testing.T) {
	put := string(readTestdata(t, "minio-put.json"))
	for name, c := range map[string]struct {
		header schemas.Header
		data   string
		want   string
	}{
		"Azure": {
			schemas.Header{"Ce-Specversion": {"1.0"}, "ce-id": {"1"}, "CE-Type": {"Microsoft.Storage.BlobCreated"}, "ce-time": {"2026-11-23T10:15:30Z"},
				"ce-source": {"/subscriptions/s/storageAccounts/acc"}, "ce-subject": {"/blobServices/default/containers/c/blobs/50%2525%20%C3%A4.txt"}},
			`{"api":"PutBlob","contentLength":3,"sequencer":"1"}`, `azure-cloudevents created acc:c "50%25 ä.txt" size=3 seq=1`,
		},
		"Azure, not encoded": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/50%-done größe"}},
			`{"api":"PutBlob","contentLength":3,"sequencer":"1"}`, `azure-cloudevents created acc:c "50%-done größe" size=3 seq=1`,
		},
		"Azure, not encoded, with what looks encoded": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a%20b"}},
			`{"contentLength":3,"url":"https://acc.blob.core.windows.net/c/a%2520b?x"}`, `azure-cloudevents created acc:c "a%20b" size=3`,
		},
		"Azure, encoded, with a URL": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobDeleted"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a%20b"}},
			`{"url":"https://acc.blob.core.windows.net/c/a%20b"}`, `azure-cloudevents deleted acc:c "a b"`,
		},
		"Azure, with a plus": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a+b"}},
			`{"contentLength":3,"url":"https://acc.blob.core.windows.net/c/a+b"}`, `azure-cloudevents created acc:c "a+b" size=3`,
		},
		"Azure, in Latin-1": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/gr\xfcn"}},
			`{"contentLength":3,"url":"https://acc.blob.core.windows.net/c/gr%C3%BCn"}`, `azure-cloudevents created acc:c "grün" size=3`,
		},
		"Azure, a URL of another container and account": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a"}},
			`{"contentLength":3,"url":"https://127.0.0.1:10000/other/c/b"}`, `azure-cloudevents created acc:c "a" size=3`,
		},
		"Azure, a raw percent sign beside an encoded URL": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/STORAGEACCOUNTS/Acc/blobServices/default"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/100%25 of%2F"}},
			`{"contentLength":3,"url":"https://acc.blob.core.windows.net/c/100%2525%20of%252F"}`, `azure-cloudevents created acc:c "100%25 of%2F" size=3`,
		},
		"Azure, a raw percent sign and the address of an emulator": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"Microsoft.Storage.BlobCreated"}, "ce-source": {"/subscriptions/s/storageAccounts/acc"},
				"ce-subject": {"/blobServices/default/containers/c/blobs/a%20b"}},
			`{"contentLength":3,"url":"http://127.0.0.1:10000/acc/c/a%2520b"}`, `azure-cloudevents created acc:c "a%20b" size=3`,
		},
		"Eventarc": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"google.cloud.storage.object.v1.finalized"},
				"ce-source": {"//storage.googleapis.com/projects/_/buckets/lab"}, "ce-subject": {"objects/a/b%20c"}, "ce-datacontenttype": {"application/json"}},
			`{"generation":"5","size":"4"}`, `gcs-eventarc created lab "a/b c" size=4 seq=5`,
		},
		"another notification": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"com.example.minio"}}, put,
			`minio created media "raw/ä b+c.mov" size=2048 seq=17C0A0B0C0D0E0F1`,
		},
		"structured all the same": {
			schemas.Header{"ce-specversion": {"1.0"}, "ce-type": {"com.example.other"}}, string(readTestdata(t, "cloudevent-of-s3.json")),
			`aws-s3 created invoices "a b.txt" size=7 seq=0A`,
		},
		"attributes as headers": {
			schemas.Header{"Eventtype": {"OBJECT_FINALIZE"}, "bucketId": {"lab"}, "objectId": {"x+%41"}, "objectGeneration": {"9"}}, "",
			`gcs-pubsub created lab "x+%41" seq=9`,
		},
		"attributes as headers, of an overwritten object": {
			schemas.Header{"eventType": {"OBJECT_DELETE"}, "bucketId": {"lab"}, "objectId": {"x"}, "objectGeneration": {"9"}, "overwrittenByGeneration": {"10"}}, "",
			`gcs-pubsub none lab "x" seq=9`,
		},
		"a header of somebody else": {
			schemas.Header{"eventType": {"put"}}, put, `minio created media "raw/ä b+c.mov" size=2048 seq=17C0A0B0C0D0E0F1`,
		},
	} {
		changes, err := Decode(c.header, []byte(c.data))
		if err != nil || len(changes) != 1 || brief(changes[0]) != c.want {
			t.Errorf("%s: %v %+v, want %s", name, err, changes, c.want)
		}
	}
}
