package service

import (
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
)

// Owner returns a readable name of this process for claims, sessions and traces.
func Owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// warnOfOpenFiles logs the files with secrets that every user of the machine may read.
// It is silent in Kubernetes, which mounts secrets that way by default, in a container
// without other users.
func warnOfOpenFiles(cfg *config.Config, log zerolog.Logger) {
	level := zerolog.WarnLevel
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		level = zerolog.InfoLevel
	}
	for _, file := range cfg.OpenFiles() {
		log.WithLevel(level).Str("file", file).Msg("every user of this machine may read this file with a secret: chmod o-r")
	}
}
