package natsconn

import (
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"backhaul/cmd/internal/config"
	"backhaul/vendorapi"
)

// authenticated says who connects. Files are read at each connect and reconnect,
// so what is in them may be replaced.
func authenticated(cfg config.NATSAuth, log zerolog.Logger) ([]nats.Option, error) {
	read := func(what string, secret func() (vendorapi.Secret, error)) string {
		value, err := secret()
		if err != nil {
			log.Error().Err(err).Msg("cannot read the NATS " + what)
		}
		return string(value)
	}
	switch {
	case cfg.Creds != "":
		return []nats.Option{nats.UserCredentials(cfg.Creds)}, nil
	case cfg.NKey != "":
		option, err := nats.NkeyOptionFromSeed(cfg.NKey)
		if err != nil {
			return nil, &config.Error{Problems: []string{fmt.Sprintf("NATS nkey: %v (BACKHAUL_NATS_NKEY)", err)}}
		}
		return []nats.Option{option}, nil
	case cfg.User != "":
		return []nats.Option{nats.UserInfoHandler(func() (string, string) {
			return cfg.User, read("password", cfg.Password.Read)
		})}, nil
	case cfg.Token.Given():
		return []nats.Option{nats.TokenHandler(func() string { return read("token", cfg.Token.Read) })}, nil
	case cfg.JWT != "":
		return []nats.Option{nats.UserJWTAndSeed(cfg.JWT, read("seed", cfg.Seed.Read))}, nil
	}
	return nil, nil
}

// secured is how the connection is encrypted, and whom it trusts.
func secured(cfg config.NATSTLS) []nats.Option {
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
