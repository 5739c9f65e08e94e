package trigger

import "strings"

// sender is a store that writes records as S3 does.
type sender struct {
	format Format
	// keys is how it writes the keys of objects; "" if it is not known.
	keys Keys
}

// senders has the senders by their eventSource. Others are [FormatS3Compatible].
//
//	minio:s3    internal/event/event.go of github.com/minio/minio
//	ceph:s3     populate_record_from_request in rgw_notify.cc of github.com/ceph/ceph: it does not
//	            encode keys
//	scality:s3  transformToSpec in extensions/notification/utils/message.js of
//	            github.com/scality/backbeat: version 1.0 (0.1 before), sizes as text, null for the
//	            sequencer, keys as they are in its log
//	noobaa:s3   compose_notification_req in src/util/notifications_util.js of
//	            github.com/noobaa/noobaa-core: keys of the request, already decoded; size is the length
//	            of the answer; the sequencer is a time or a number. Other systems than the one named
//	            noobaa have the eventSource "<system>:s3".
//	rustfs:s3   Event::new in crates/notify/src/event.rs of github.com/rustfs/rustfs: form-encoded keys
var senders = map[text]sender{
	"aws:s3":     {FormatS3, ""},
	"minio:s3":   {FormatMinIO, KeysForm},
	"ceph:s3":    {FormatCeph, KeysRaw},
	"scality:s3": {FormatScality, KeysRaw},
	"noobaa:s3":  {FormatNooBaa, KeysRaw},
	"rustfs:s3":  {FormatRustFS, KeysForm},
}

// sender returns the sender of a record.
func (r *record) sender() sender {
	switch {
	case r.ofAWS():
		return sender{FormatS3, KeysForm}
	case r.ofVersity():
		return sender{FormatVersity, KeysRaw}
	}
	if known, ok := senders[r.EventSource]; ok {
		return known
	}
	return sender{FormatS3Compatible, ""}
}

// ofVersity reports whether the record is of the Versity gateway. It calls itself aws:s3, names
// its only configuration after the kind of its target (nats-global), and writes the path of the
// request, already decoded: createEventSchema in s3event/event.go and DecodeURL in
// s3api/middlewares/url-decoder.go of github.com/versity/versitygw. Its payload is an array of
// records, and its sequencer counts from 1 again when it starts.
func (r *record) ofVersity() bool {
	return r.EventSource == "aws:s3" && r.User.Principal == "" && strings.HasSuffix(string(r.S3.Configuration), "-global")
}
