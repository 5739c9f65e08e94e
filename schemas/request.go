package schemas

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// MaxRequestSize is the largest request payload in bytes that is decoded.
const MaxRequestSize = 256 << 10

// Backup levels, in the vendor's words.
const (
	LevelFull          = "FULL"
	LevelIncremental   = "INCREMENTAL"
	LevelDifferential  = "DIFFERENTIAL"
	LevelSyntheticFull = "SYNTHETIC_FULL"
)

// Defaults of members that a request leaves out. instanceName defaults to
// clientName, adHocBackup to whether an onDemandInputFile is given.
const (
	DefaultBackupsetName = "defaultBackupSet"
	DefaultAppName       = "Cloud Apps"
	DefaultBackupLevel   = LevelIncremental
)

// BackupRequest asks for one backup of one content group. It has the vendor's
// terms as the vendor uses them. A value that came out of [DecodeRequest] is
// normalised: every default is filled in.
type BackupRequest struct {
	// RequestID is the publisher's own name for this request, unique per
	// source; the same id with the same content is the same request.
	RequestID string `json:"requestId,omitempty"`
	// ClientName is the object storage client. Required.
	ClientName string `json:"clientName"`
	// InstanceName is the object storage instance. Defaults to ClientName.
	InstanceName string `json:"instanceName,omitempty"`
	// BackupsetName defaults to [DefaultBackupsetName].
	BackupsetName string `json:"backupsetName,omitempty"`
	// SubclientName is the content group. Required: without it the vendor
	// would start one job for each content group of the backup set.
	SubclientName string `json:"subclientName"`
	// StoragePolicyName is the plan. When it is empty the content group's own
	// plan applies.
	StoragePolicyName string `json:"storagePolicyName,omitempty"`
	// AppName is the agent. Defaults to [DefaultAppName].
	AppName string `json:"appName,omitempty"`
	// BackupLevel is one of the Level constants. Defaults to [DefaultBackupLevel].
	BackupLevel string `json:"backupLevel,omitempty"`
	// AdHocBackup limits the backup to what OnDemandInputFile lists. Defaults
	// to whether there is an OnDemandInputFile.
	AdHocBackup bool `json:"adHocBackup"`
	// OnDemandInputFile is the absolute path of the directive file in the
	// account that is backed up. Its content is not looked at.
	OnDemandInputFile string `json:"onDemandInputFile,omitempty"`
	// NotAfter is when the request stops making sense: no job is started later.
	NotAfter time.Time `json:"notAfter,omitzero"`
	// Labels come back in the events of this request.
	Labels map[string]string `json:"labels,omitempty"`
}

// normalise fills in the defaults of a valid request.
func (r *BackupRequest) normalise(adHocGiven bool) {
	r.InstanceName = cmp.Or(r.InstanceName, r.ClientName)
	r.BackupsetName = cmp.Or(r.BackupsetName, DefaultBackupsetName)
	r.AppName = cmp.Or(r.AppName, DefaultAppName)
	r.BackupLevel = cmp.Or(r.BackupLevel, DefaultBackupLevel)
	if !adHocGiven {
		r.AdHocBackup = r.OnDemandInputFile != ""
	}
}

// JSON is the request as plain JSON, the same bytes for equal requests.
func (r BackupRequest) JSON() []byte {
	w := objectWriter{make([]byte, 0, encodedSize)}
	w.request(&r)
	return w.data
}

// Hash is the SHA-256 of the request's JSON in hex. Two messages with the same
// request id are the same request if their hashes are equal.
func (r BackupRequest) Hash() string {
	w := hashed.Get().(*objectWriter)
	defer hashed.Put(w)
	w.data = w.data[:0]
	w.request(&r)
	return HashBytes(w.data)
}

// hashed has buffers of requests that were hashed.
var hashed = sync.Pool{New: func() any { return new(objectWriter) }}

// HashBytes is the SHA-256 of data in hex: the hash of a request that could not
// be decoded.
func HashBytes(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Naming is the part of a request that its events repeat. It has the request's own Labels.
func (r BackupRequest) Naming(source string) Naming {
	return Naming{
		RequestID:         r.RequestID,
		Source:            source,
		ClientName:        r.ClientName,
		InstanceName:      r.InstanceName,
		BackupsetName:     r.BackupsetName,
		SubclientName:     r.SubclientName,
		StoragePolicyName: r.StoragePolicyName,
		BackupLevel:       r.BackupLevel,
		OnDemandInputFile: r.OnDemandInputFile,
		Labels:            r.Labels,
	}
}

// allowInvalidUTF8 replaces what is not UTF-8 instead of failing.
var allowInvalidUTF8 = jsontext.AllowInvalidUTF8(true)

// utcTimes writes every time in UTC, so that one moment is one text. Unlike the
// default it has no failure: a year that RFC 3339 cannot write must not cost
// more than that one member.
var utcTimes = json.MarshalToFunc(func(enc *jsontext.Encoder, t time.Time) error {
	return enc.WriteToken(jsontext.String(t.UTC().Format(time.RFC3339Nano)))
})

// mustMarshal encodes our own types. They hold strings, numbers, times, maps of
// strings and what it encoded before; the one thing that could fail is text that is not UTF-8, and
// that is replaced rather than lost.
func mustMarshal(v any) []byte {
	data, err := json.Marshal(v, json.Deterministic(true), json.WithMarshalers(utcTimes), allowInvalidUTF8)
	if err != nil {
		panic("schemas: " + err.Error())
	}
	return data
}
