package history

import (
	"fmt"
	"strings"

	"backhaul/cmd/internal/show"
	"backhaul/schemas"
)

// Backup returns what became of this job alone.
func (j Job) Backup() Backup { return Backup{j.State, j.Outcome} }

// Word is like [Backup.Word].
func (j Job) Word() string { return j.Backup().Word() }

// Text returns where the job stands, in words.
func (j Job) Text() string {
	text := j.Word()
	switch {
	case j.State == JobStarted:
		return text
	case j.State == JobUnfollowed:
		text = "no longer followed since " + stamp(j.Since)
	case j.State != JobFinished:
		text += " since " + stamp(j.Since)
	case !j.EndedAt.IsZero():
		text += " at " + stamp(j.EndedAt)
	default:
		text += ", seen at " + stamp(j.Since)
	}
	for _, part := range []string{j.progressText(), j.SizesText(), j.byText(), j.statusText()} {
		if part != "" {
			text += ", " + part
		}
	}
	if reasons := j.ReasonsText(); reasons != "" {
		text += ": " + reasons
	}
	return text
}

func (j Job) progressText() string {
	var parts []string
	if j.Percent != nil {
		parts = append(parts, fmt.Sprintf("%d %% done", *j.Percent))
	}
	if j.Phase != "" {
		parts = append(parts, "phase "+j.Phase)
	}
	return strings.Join(parts, ", ")
}

func (j Job) byText() string {
	if j.By == "" {
		return ""
	}
	return "by " + j.By
}

// statusText returns the vendor's status where the state does not name it.
func (j Job) statusText() string {
	switch {
	case j.VendorStatus == "", j.State != JobUnfollowed && j.Outcome != schemas.OutcomeEnded:
		return ""
	case j.State == JobUnfollowed:
		return fmt.Sprintf("last seen as %q", j.VendorStatus)
	}
	return fmt.Sprintf("the vendor says %q", j.VendorStatus)
}

// SizesText returns what the job moved, in words, "" if that is not known.
func (j Job) SizesText() string {
	var parts []string
	if j.Empty != nil && *j.Empty {
		parts = append(parts, "nothing was moved")
	} else {
		if j.Files != nil {
			parts = append(parts, show.Count(int(*j.Files), "file"))
		}
		if j.Bytes != nil {
			parts = append(parts, show.Size(uint64(max(*j.Bytes, 0))))
		}
	}
	for _, failed := range []struct {
		n    *int64
		what string
	}{{j.FailedFiles, "file"}, {j.FailedFolders, "folder"}} {
		if failed.n != nil && *failed.n > 0 {
			parts = append(parts, show.Count(int(*failed.n), "failed "+failed.what))
		}
	}
	return strings.Join(parts, ", ")
}

// ReasonsText returns the reasons in words, "" if there are none.
func (j Job) ReasonsText() string {
	var all []string
	for _, r := range j.Reasons {
		code := r.Code
		if r.LogCode != "" {
			code = strings.TrimSpace(code + " (" + r.LogCode + ")")
		}
		text := strings.TrimSpace(r.Text)
		if code != "" && text != "" {
			code += ": "
		}
		if code+text != "" {
			all = append(all, code+text)
		}
	}
	return strings.Join(all, "; ")
}

// text returns the jobs in words for a sentence about their request.
func (js Jobs) text() string {
	switch {
	case len(js) == 0:
		return ""
	case len(js) == 1 && js[0].State == JobStarted:
		return "job " + js[0].ID
	case len(js) == 1:
		return "job " + js[0].ID + ", " + js[0].Text()
	}
	const most = 10
	var all []string
	for _, j := range js[:min(len(js), most)] {
		all = append(all, j.ID+" "+j.Text())
	}
	text := fmt.Sprintf("%d jobs: %s", len(js), strings.Join(all, "; "))
	if left := len(js) - most; left > 0 {
		text += fmt.Sprintf("; and %d more", left)
	}
	return text
}
