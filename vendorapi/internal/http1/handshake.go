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

// Handshake puts TLS on a connection to the host. A failure other than that of the
// certificate says what was offered: the server's alert alone does not tell
// whether it is the version or the ciphers that it does not take.
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
	return nil, fmt.Errorf("TLS handshake: %w (offered %s)", err, offered(cfg))
}

// offered returns the versions and ciphers of a client's hello, without cfg's own
// choice of ciphers, which this package's users do not make.
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
