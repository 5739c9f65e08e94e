package natsconn

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// authenticated returns the options for who connects. Files are read at each connect and
// reconnect, so a replaced file takes effect.
func authenticated(cfg Auth, log zerolog.Logger) ([]nats.Option, error) {
	read := func(what string, secret func() (string, error)) string {
		value, err := secret()
		if err != nil {
			log.Error().Err(err).Msg("cannot read the NATS " + what)
		}
		return value
	}
	switch {
	case cfg.Creds != "":
		return []nats.Option{nats.UserCredentials(cfg.Creds)}, nil
	case cfg.NKey != "":
		option, err := nats.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, &OptionsError{fmt.Sprintf("NATS nkey: %v (BACKHAUL_NATS_NKEY)", err)}
		}
		return []nats.Option{option}, nil
	case cfg.User != "":
		return []nats.Option{nats.UserInfoHandler(func() (string, string) {
			return cfg.User, read("password", cfg.Password)
		})}, nil
	case cfg.Token != nil:
		return []nats.Option{nats.TokenHandler(func() string { return read("token", cfg.Token) })}, nil
	case cfg.JWT != "":
		return []nats.Option{nats.UserJWTAndSeed(cfg.JWT, read("seed", cfg.Seed))}, nil
	}
	return nil, nil
}

// secured returns the options of TLS.
func secured(cfg TLS) []nats.Option {
	var options []nats.Option
	if cfg.CA != "" {
		options = append(options, nats.RootCAs(cfg.CA))
	}
	if cfg.Cert != "" {
		options = append(options, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	if cfg.First {
		options = append(options, nats.TLSHandshakeFirst())
	}
	return options
}
