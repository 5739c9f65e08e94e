package simulator

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// readPlainXML reads a CreateTask in plain XML, as on the vendor's page: elements without
// attributes, text without entities. It reports whether the body has that form; otherwise
// the caller uses encoding/xml, which takes several times as long and would limit a load
// test.
func readPlainXML(body []byte, into *createTask) bool {
	p := plainXML{rest: body}
	p.skipDeclaration()
	if !p.tag() || p.closing || p.name != "TMMsg_CreateTaskReq" || p.empty {
		return false
	}
	var req createTask
	if !p.inside(&req, "TMMsg_CreateTaskReq", "") || len(bytes.TrimSpace(p.rest)) > 0 {
		return false
	}
	req.XMLName.Local = "TMMsg_CreateTaskReq"
	*into = req
	return true
}

// plainXML holds the rest of the document and the last tag.
type plainXML struct {
	rest    []byte
	text    []byte // before the tag
	name    string
	closing bool // </name>
	empty   bool // <name/>
	depth   int
}

// deepest bounds the nesting of elements. The sample has six levels.
const deepest = 16

func (p *plainXML) skipDeclaration() {
	for _, declaration := range []string{`<?xml version="1.0" encoding="UTF-8" standalone="no" ?>`, `<?xml version="1.0" encoding="UTF-8"?>`} {
		if rest, found := bytes.CutPrefix(p.rest, []byte(declaration)); found {
			p.rest = rest
		}
	}
}

// tag reads up to the end of the next tag. It reports whether the text is plain.
func (p *plainXML) tag() bool {
	open := bytes.IndexByte(p.rest, '<')
	if open < 0 {
		return false
	}
	p.text = bytes.TrimSpace(p.rest[:open])
	end := bytes.IndexByte(p.rest[open:], '>')
	if end < 0 || bytes.ContainsAny(p.text, "&]>\r") || !utf8.Valid(p.text) {
		return false
	}
	name := p.rest[open+1 : open+end]
	p.rest = p.rest[open+end+1:]
	name, p.closing = bytes.CutPrefix(name, []byte("/"))
	name, p.empty = bytes.CutSuffix(name, []byte("/"))
	name = bytes.TrimRight(name, " ")
	p.name = string(name)
	for i, c := range name {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return len(name) > 0 && (!p.closing || !p.empty) && bytes.IndexFunc(p.text, notInXML) < 0
}

func notInXML(c rune) bool { return c < ' ' && c != '\t' && c != '\n' || c == 0xfffe || c == 0xffff }

// inside reads an element up to its end. path is its path below the root.
func (p *plainXML) inside(req *createTask, name, path string) bool {
	if p.depth++; p.depth > deepest {
		return false
	}
	defer func() { p.depth-- }()
	begin(req, path)
	for children := false; ; children = true {
		switch {
		case !p.tag():
			return false
		case p.closing:
			if value := place(req, path); value != nil {
				if children { // mixed content is left to encoding/xml
					return false
				}
				*value = scalar(p.text)
			}
			return p.name == name
		}
		child := path + "/" + p.name
		if p.empty {
			begin(req, child)
			if value := place(req, child); value != nil {
				*value = ""
			}
		} else if !p.inside(req, p.name, child) {
			return false
		}
	}
}

// begin creates the value of an element that is optional or can be repeated.
func begin(req *createTask, path string) {
	switch path {
	case "/taskInfo":
		if req.TaskInfo == nil {
			req.TaskInfo = &taskInfo{}
		}
	case "/taskInfo/associations":
		req.TaskInfo.Associations = append(req.TaskInfo.Associations, association{})
	case "/taskInfo/subTasks":
		req.TaskInfo.SubTasks = append(req.TaskInfo.SubTasks, subTask{})
	}
}

// place returns the destination of an element's text, or nil if it is ignored.
func place(req *createTask, path string) *scalar {
	if path == "/taskInfo/task/taskType" {
		return &req.TaskInfo.Task.TaskType
	}
	if name, found := strings.CutPrefix(path, "/taskInfo/associations/"); found {
		a := &req.TaskInfo.Associations[len(req.TaskInfo.Associations)-1]
		switch name {
		case "clientName":
			return &a.ClientName
		case "clientId":
			return &a.ClientID
		case "instanceName":
			return &a.InstanceName
		case "instanceId":
			return &a.InstanceID
		case "backupsetName":
			return &a.BackupsetName
		case "backupsetId":
			return &a.BackupsetID
		case "subclientName":
			return &a.SubclientName
		case "subclientId":
			return &a.SubclientID
		case "appName":
			return &a.AppName
		case "applicationId":
			return &a.ApplicationID
		}
	}
	if name, found := strings.CutPrefix(path, "/taskInfo/subTasks/"); found {
		t := &req.TaskInfo.SubTasks[len(req.TaskInfo.SubTasks)-1]
		backup := &t.Options.BackupOpts
		switch name {
		case "subTask/subTaskType":
			return &t.SubTask.SubTaskType
		case "subTask/operationType":
			return &t.SubTask.OperationType
		case "options/backupOpts/backupLevel":
			return &backup.BackupLevel
		case "options/backupOpts/adHocBackup":
			return &backup.AdHocBackup
		case "options/backupOpts/onDemandInputFile":
			return &backup.OnDemandInputFile
		case "options/backupOpts/mediaOpt/storagePolicy/storagePolicyName":
			return &backup.MediaOpt.StoragePolicy.StoragePolicyName
		case "options/commonOpts/jobDescription":
			return &t.Options.CommonOpts.JobDescription
		}
	}
	return nil
}
