package report

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"sync"
	"time"

	"backhaul/cmd/internal/protection"
	"backhaul/cmd/internal/show"
)

//go:embed report.html
var pageText string

var page = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("report").Funcs(functions).Parse(pageText))
})

var functions = template.FuncMap{
	"stamp": stamp, "text": show.Cell,
	"span": func(s float64) string {
		return (time.Duration(s * float64(time.Second))).Round(time.Second).String()
	},
	"percent": func(share *float64) string {
		if share == nil {
			return "unknown"
		}
		return fmt.Sprintf("%.3f %%", *share*100)
	},
	"why": func(b Breach) string {
		if b.Promise == protection.PromiseMaxAge {
			return "no good backup of the whole group has started since"
		}
		return b.Why.Text()
	},
}

// HTML writes the report as one page without scripts.
func (r *Report) HTML(w io.Writer) error { return page().Execute(w, r) }
