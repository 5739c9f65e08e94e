package simulator

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// scalar is a value of a request as text, regardless of its JSON type.
//
// Recorded: the SDK and other clients send numbers and booleans both bare and quoted.
type scalar string

// UnmarshalJSON accepts a string, a number, a boolean or null.
func (s *scalar) UnmarshalJSON(data []byte) error {
	switch data[0] {
	case '"':
		var text string
		err := json.Unmarshal(data, &text)
		*s = scalar(text)
		return err
	case '{', '[':
		return errors.New("must be a value, not an object or a list")
	case 'n':
		*s = ""
	default:
		*s = scalar(data)
	}
	return nil
}

// UnmarshalText accepts the text of an XML element or attribute and trims the space that
// pretty-printing adds.
func (s *scalar) UnmarshalText(text []byte) error {
	*s = scalar(bytes.TrimSpace(text))
	return nil
}

// isTrue reports whether the text is a true boolean.
func (s scalar) isTrue() bool {
	value, err := strconv.ParseBool(string(s))
	return err == nil && value
}

// number returns the text as a number, or the fallback if it is not a number.
func (s scalar) number(fallback int) int {
	n, err := strconv.Atoi(string(s))
	if err != nil {
		return fallback
	}
	return n
}

var errNotReadable = errors.New("the body is empty or not readable")

// readBody reads a body, JSON or XML, into a request type.
//
// Assumed: the Content-Type decides; if it is missing or another one, the first character
// does.
func readBody(h http.Header, body []byte, into any) error {
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return errNotReadable
	}
	isXML := body[0] == '<'
	switch mediaType, _, _ := mime.ParseMediaType(h.Get("Content-Type")); mediaType {
	case "application/json":
		isXML = false
	case "application/xml", "text/xml":
		isXML = true
	}
	if isXML {
		if req, ok := into.(*createTask); ok && readPlainXML(body, req) {
			return nil
		}
		return xml.Unmarshal(body, into)
	}
	if body[0] != '{' {
		return errNotReadable
	}
	return json.Unmarshal(body, into)
}

// createTask is the part of a CreateTask request that the simulator reads. The rest is
// ignored, as the real service ignores unknown members.
//
// Documented: the XML form, by the vendor's page. Recorded: the JSON form, by
// the SDK and the Postman collection.
type createTask struct {
	XMLName  xml.Name  `json:"-" xml:"TMMsg_CreateTaskReq"`
	TaskInfo *taskInfo `json:"taskInfo" xml:"taskInfo"`
}

type taskInfo struct {
	Task struct {
		TaskType scalar `json:"taskType" xml:"taskType"`
	} `json:"task" xml:"task"`
	Associations []association `json:"associations" xml:"associations"`
	SubTasks     []subTask     `json:"subTasks" xml:"subTasks"`
}

// association selects what to back up, by names or by ids.
type association struct {
	ClientName    scalar `json:"clientName" xml:"clientName"`
	ClientID      scalar `json:"clientId" xml:"clientId"`
	InstanceName  scalar `json:"instanceName" xml:"instanceName"`
	InstanceID    scalar `json:"instanceId" xml:"instanceId"`
	BackupsetName scalar `json:"backupsetName" xml:"backupsetName"`
	BackupsetID   scalar `json:"backupsetId" xml:"backupsetId"`
	SubclientName scalar `json:"subclientName" xml:"subclientName"`
	SubclientID   scalar `json:"subclientId" xml:"subclientId"`
	AppName       scalar `json:"appName" xml:"appName"`
	ApplicationID scalar `json:"applicationId" xml:"applicationId"`
}

type subTask struct {
	SubTask struct {
		SubTaskType   scalar `json:"subTaskType" xml:"subTaskType"`
		OperationType scalar `json:"operationType" xml:"operationType"`
	} `json:"subTask" xml:"subTask"`
	Options struct {
		BackupOpts struct {
			BackupLevel       scalar `json:"backupLevel" xml:"backupLevel"`
			AdHocBackup       scalar `json:"adHocBackup" xml:"adHocBackup"`
			OnDemandInputFile scalar `json:"onDemandInputFile" xml:"onDemandInputFile"`
			MediaOpt          struct {
				StoragePolicy struct {
					StoragePolicyName scalar `json:"storagePolicyName" xml:"storagePolicyName"`
				} `json:"storagePolicy" xml:"storagePolicy"`
			} `json:"mediaOpt" xml:"mediaOpt"`
		} `json:"backupOpts" xml:"backupOpts"`
		CommonOpts struct {
			JobDescription scalar `json:"jobDescription" xml:"jobDescription"`
		} `json:"commonOpts" xml:"commonOpts"`
	} `json:"options" xml:"options"`
}

// names reports whether the association's name and id, where given, are the known ones.
func (association) names(name scalar, known string, id scalar, knownID int) bool {
	return (name == "" || strings.EqualFold(string(name), known)) && (id == "" || id.number(-1) == knownID)
}

// ofClient reports whether the association names any client, and the agent of this client.
func (a association) ofClient(c *client) bool {
	return (a.ClientName != "" || a.ClientID != "" || a.SubclientID != "") &&
		a.names(a.AppName, c.appName, a.ApplicationID, applicationID(c.appName))
}

// A level is a backup level with its word and number in requests, and its number and name
// in job answers.
//
// Recorded: requests take the word or the number; answers use other numbers
// than requests, 64 for a synthetic full (Postman collection). Assumed: the
// numbers 3 and 4 in requests, and 4 for a differential in answers.
type level struct {
	word         string
	inRequest    int
	inAnswer     int
	nameInAnswer string
}

var levels = []level{
	{"FULL", 1, 1, "Full"},
	{"INCREMENTAL", 2, 2, "Incremental"},
	{"DIFFERENTIAL", 3, 4, "Differential"},
	{"SYNTHETIC_FULL", 4, 64, "Synthetic Full"},
}

// parseLevel returns a backup level. Assumed: a backup without a level is incremental.
func parseLevel(text string) (*level, bool) {
	if text == "" {
		return &levels[1], true
	}
	for i := range levels {
		if strings.EqualFold(text, levels[i].word) || text == strconv.Itoa(levels[i].inRequest) {
			return &levels[i], true
		}
	}
	return nil, false
}
