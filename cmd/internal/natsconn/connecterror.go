package natsconn

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
)

// notConnected adds the cause and the way out to an error that the client does not
// explain.
func notConnected(ctx context.Context, cfg Options, err error) error {
	if way := wayOutOfTLS(cfg, err); way != "" {
		return fmt.Errorf("%w; %s", err, way)
	}
	switch {
	case errors.Is(err, nats.ErrAuthExpired), errors.Is(err, nats.ErrAuthorization) && expired(cfg.Auth):
		return fmt.Errorf("%w: the credentials of %s have expired; issue new ones", err, cmp.Or(cfg.Auth.Origin, "BACKHAUL_NATS_CREDS (--nats-creds)"))
	case errors.Is(err, nats.ErrAuthorization) && cfg.Auth.Origin != "":
		return fmt.Errorf("%w; compare its credentials with the server's configuration; they are those of %s", err, cfg.Auth.Origin)
	case errors.Is(err, nats.ErrAuthorization) && identified(cfg):
		return fmt.Errorf("%w; compare its credentials with the server's configuration (BACKHAUL_NATS_CREDS, --nats-creds; BACKHAUL_NATS_NKEY, --nats-nkey; BACKHAUL_NATS_USER, --nats-user; BACKHAUL_NATS_TOKEN)", err)
	case errors.Is(err, nats.ErrAuthorization):
		return fmt.Errorf("%w: no credentials are set; set BACKHAUL_NATS_CREDS (--nats-creds), BACKHAUL_NATS_NKEY (--nats-nkey), BACKHAUL_NATS_USER (--nats-user) or BACKHAUL_NATS_TOKEN", err)
	case errors.Is(err, nats.ErrNoServers):
		if cause := dialed(ctx, cfg.URL); cause != nil {
			return fmt.Errorf("%w; see whether the server runs and BACKHAUL_NATS_URL (--nats) has its host and port", cause)
		}
	}
	return err
}

// wayOutOfTLS returns what to change after an error of encryption, "" if err is not one.
func wayOutOfTLS(cfg Options, err error) string {
	_, unknown := errors.AsType[x509.UnknownAuthorityError](err)
	_, otherName := errors.AsType[x509.HostnameError](err)
	invalid, isInvalid := errors.AsType[x509.CertificateInvalidError](err)
	_, noTLS := errors.AsType[tls.RecordHeaderError](err)
	failed, silent := errors.AsType[*net.OpError](err)
	text := err.Error()
	switch {
	case unknown && cfg.TLS.CA == "":
		return "set the CA of the server's certificate (BACKHAUL_NATS_CA, --nats-ca)"
	case unknown:
		return fmt.Sprintf("the CA of BACKHAUL_NATS_CA (--nats-ca), %s, did not sign the server's certificate", cfg.TLS.CA)
	case otherName:
		return "use a name of the certificate in BACKHAUL_NATS_URL (--nats), or give the server a certificate with this one"
	case isInvalid && invalid.Reason == x509.Expired:
		return "renew the server's certificate, or set the clock of this host"
	case noTLS:
		return "the server does not begin with TLS: leave out BACKHAUL_NATS_TLS_FIRST (--nats-tls-first), or set `handshake_first` at the server"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server has no TLS: use nats:// in BACKHAUL_NATS_URL (--nats) and leave out BACKHAUL_NATS_CA (--nats-ca) and BACKHAUL_NATS_CERT (--nats-cert), or enable `tls {}` at the server"
	case cfg.TLS.Cert == "" && (strings.Contains(text, "tls: certificate required") || strings.Contains(text, "after TLS handshake")):
		return "the server demands a certificate of the client: set BACKHAUL_NATS_CERT (--nats-cert) and BACKHAUL_NATS_KEY (--nats-key)"
	case silent && failed.Timeout() && failed.Op == "read":
		return "the server is silent: it begins with TLS (set BACKHAUL_NATS_TLS_FIRST, --nats-tls-first), or BACKHAUL_NATS_URL (--nats) is not the client port of a NATS server, such as 4222"
	}
	return ""
}

// expired reports whether the JWT of the credentials has expired. A server does not say
// so to one that connects.
func expired(auth Auth) bool {
	text := auth.JWT
	if auth.Creds != "" {
		data, err := os.ReadFile(auth.Creds)
		if err != nil {
			return false
		}
		if text, err = jwt.ParseDecoratedJWT(data); err != nil {
			return false
		}
	}
	claims, err := jwt.DecodeUserClaims(text)
	return err == nil && claims.Expires != 0 && time.Unix(claims.Expires, 0).Before(time.Now())
}

// identified reports whether the settings say who connects.
func identified(cfg Options) bool {
	a := cfg.Auth
	return a.Creds != "" || a.NKey != "" || a.User != "" || a.JWT != "" || a.Token != nil || strings.Contains(cfg.URL, "@")
}

// dialed returns why no server of a list can be reached, nil if one can. The client says
// only that there is none.
func dialed(ctx context.Context, servers string) error {
	dialer := net.Dialer{Timeout: time.Second}
	var all []error
	for server := range strings.SplitSeq(servers, ",") {
		if !strings.Contains(server, "://") {
			server = "nats://" + server
		}
		u, err := url.Parse(strings.TrimSpace(server))
		if err != nil {
			return nil
		}
		port := cmp.Or(u.Port(), strconv.Itoa(nats.DefaultPort))
		conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
		if err == nil {
			_ = conn.Close()
			return nil
		}
		all = append(all, err)
	}
	return errors.Join(all...)
}
