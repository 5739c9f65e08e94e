package trigger

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"backhaul/schemas"
)

// fuzzedRoutes take everything, by templates with each placeholder.
func fuzzedRoutes(t testing.TB) *Routes {
	t.Helper()
	return parse(t, `routes:
- {container: "*-tmp", ignore: true}
- {container: "*", system: aws*, clientName: "{system}", subclientName: "{container}", labels: {first: "{prefix:1}"}, directive: {container: "{container}", prefix: ".backhaul/{prefix:1}/"}}
- {container: "*", keys: raw, clientName: "{account}", subclientName: "{container}", events: [created, deleted]}
- {container: "*", suffix: .pdf, clientName: "c-{prefix:2}", subclientName: "{container}", directive: {container: lists, prefix: "l/{container}/"}}
- {container: "*", clientName: rest, subclientName: rest, directive: {container: lists, prefix: rest/}}`)
}

// Whatever stores send, a line each, leads to requests that the service accepts, and to directive
// files with one path on each line.
func FuzzRequests(f *testing.F) {
	for name := range samples {
		data := bytes.ReplaceAll(readTestdata(f, name), []byte("\n"), nil)
		f.Add(data)
		f.Add(append(append(bytes.Clone(data), '\n'), data...))
	}
	f.Add([]byte(put("a", "x/y.pdf") + "\n" + removed("a", "x/y.pdf") + "\n" + put("a-tmp", "z")))
	f.Add([]byte(strings.ReplaceAll(put("a", "x/y.pdf"), "minio:s3", "acme:s3")))
	rs := fuzzedRoutes(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewForecaster(rs).session
		groups := make(map[Group]*group)
		stored := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
		for n, line := range bytes.Split(data, []byte("\n")) {
			changes, _ := Decode(nil, line)
			for i := range changes {
				changes[i].From("storage.event.site")
			}
			for name, c := range s.concerns(changes) {
				g := groups[name]
				if g == nil {
					g = &group{route: c.route, name: name.key()}
					groups[name] = g
				}
				g.add(&message{sequence: uint64(n + 1), stored: stored, read: stored}, c)
			}
		}
		for _, g := range groups {
			if g.open != nil {
				g.close()
			}
			for _, w := range g.queue {
				if w.paths > 0 {
					checkRequest(t, g, w)
				}
			}
		}
	})
}

// checkRequest checks the request of a window and its directive file.
func checkRequest(t *testing.T, g *group, w *window) {
	t.Helper()
	req, d := w.request(g), g.route.Directive
	if d != nil {
		content, paths, no := w.list(g.route)
		if no.result == "" {
			listed(&req, d, content, paths)
			checkLines(t, content, paths)
		} else {
			req.Labels[LabelDirective], req.Labels[LabelDirectiveWhy] = no.result, no.String()
			if no.String() == "" {
				delete(req.Labels, LabelDirectiveWhy)
			}
		}
	}
	m, err := schemas.DecodeRequest(nil, req.JSON())
	if err != nil {
		t.Errorf("the service refuses the request %s: %v", req.JSON(), err)
	} else if m.Request.Hash() != req.Hash() {
		t.Errorf("the service reads %s as another request", req.JSON())
	}
}

func checkLines(t *testing.T, content []byte, paths int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	if len(lines) != paths {
		t.Errorf("%d lines, want %d", len(lines), paths)
	}
	for _, line := range lines {
		if !strings.HasPrefix(line, "/") || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) || strings.Contains(line+"/", "/../") || strings.Contains(line+"/", "/./") {
			t.Errorf("the line %q", line)
		}
	}
}
