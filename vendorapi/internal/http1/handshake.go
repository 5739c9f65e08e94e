package http1

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// Handshake starts TLS on a connection to the host. An error other than that of the certificate
// lists what was offered: the alert of the server does not name the version or the cipher that it
// rejects. For a server without TLS nothing was offered that it could reject.
func (t *Transport) Handshake(ctx context.Context, conn net.Conn, host string) (*tls.Conn, error) {
	cfg := t.TLSClientConfig.Clone()
	cfg.ServerName = host
	ctx, cancel := context.WithTimeout(ctx, t.TLSHandshakeTimeout)
	defer cancel()
	secured := tls.Client(conn, cfg)
	err := secured.HandshakeContext(ctx)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case err == nil:
		return secured, nil
	case untrusted, ctx.Err() != nil:
		return nil, err
	}
	if _, plain := errors.AsType[tls.RecordHeaderError](err); plain {
		return nil, fmt.Errorf("TLS handshake: the server answers without TLS: %w", err)
	}
	return nil, fmt.Errorf("TLS handshake: %w (offered %s)", err, offered(cfg))
}

// offered returns the versions and ciphers of a client's hello. It ignores cfg.CipherSuites, which
// the users of this package do not set.
func offered(cfg *tls.Config) string {
	lowest, highest := max(cfg.MinVersion, tls.VersionTLS12), uint16(tls.VersionTLS13)
	var ciphers []string
	for _, suite := range tls.CipherSuites() {
		if slices.ContainsFunc(suite.SupportedVersions, func(v uint16) bool { return v >= lowest && v <= highest }) {
			ciphers = append(ciphers, suite.Name)
		}
	}
	return fmt.Sprintf("%s to %s with %s", tls.VersionName(lowest), tls.VersionName(highest), strings.Join(ciphers, ", "))
}
