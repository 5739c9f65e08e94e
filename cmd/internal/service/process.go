package service

import (
	"fmt"
	"os"

	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
)

// Owner names this process for people: in claims, sessions and traces.
func Owner() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// warnOfOpenFiles says which files with secrets every user of the machine may read. In a
// container of Kubernetes that is how secrets are mounted by default, and there are no
// other users.
func warnOfOpenFiles(cfg *config.Config, log zerolog.Logger) {
	level := zerolog.WarnLevel
	if os.Getenv("KUBERNETES_SERVICE_HOST") != "" {
		level = zerolog.InfoLevel
	}
	for _, file := range cfg.OpenFiles() {
		log.WithLevel(level).Str("file", file).Msg("every user of this machine may read this file with a secret: chmod o-r")
	}
}
