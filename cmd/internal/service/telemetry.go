package service

import (
	"net/http"
	"net/http/pprof"
	"runtime"

	"backhaul/cmd/internal/config"
	"backhaul/cmd/internal/console"
)

// memProfileRate is Go's own: a sample for each so many bytes.
const memProfileRate = 512 << 10

// mountTelemetry adds metrics and profiles to the admin listener. The program starts with
// runtime.MemProfileRate 0: samples of memory are taken only where they can be asked for.
func mountTelemetry(admin *console.Console, cfg config.Admin, metrics interface{ Handler() http.Handler }) {
	admin.Handle("GET /metrics", metrics.Handler())
	if !cfg.Pprof {
		return
	}
	runtime.MemProfileRate = memProfileRate
	for pattern, handler := range map[string]http.HandlerFunc{
		"GET /debug/pprof/":        pprof.Index, // and every profile by its name
		"GET /debug/pprof/cmdline": pprof.Cmdline,
		"GET /debug/pprof/profile": pprof.Profile,
		"GET /debug/pprof/symbol":  pprof.Symbol,
		"GET /debug/pprof/trace":   pprof.Trace,
	} {
		admin.Handle(pattern, handler)
	}
}
