package natsconn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// user is a user of NATS by key, alone or with a JWT of an account.
type user struct {
	public   string
	seed     []byte
	jwt      string
	creds    []byte
	operator *jwt.OperatorClaims
	account  string // its JWT
	accountK string
}

func newUser(t *testing.T) *user {
	t.Helper()
	return newUserUntil(t, time.Time{})
}

// newUserUntil makes a user whose JWT expires, if that is not zero.
func newUserUntil(t *testing.T, expires time.Time) *user {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	pair := func(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		t.Helper()
		kp, err := make()
		must(err)
		public, err := kp.PublicKey()
		must(err)
		return kp, public
	}
	operatorKey, operatorID := pair(nkeys.CreateOperator)
	accountKey, accountID := pair(nkeys.CreateAccount)
	userKey, userID := pair(nkeys.CreateUser)
	u := &user{public: userID, accountK: accountID}
	var err error
	u.seed, err = userKey.Seed()
	must(err)
	operator := jwt.NewOperatorClaims(operatorID)
	text, err := operator.Encode(operatorKey)
	must(err)
	u.operator, err = jwt.DecodeOperatorClaims(text)
	must(err)
	u.account, err = jwt.NewAccountClaims(accountID).Encode(operatorKey)
	must(err)
	claims := jwt.NewUserClaims(userID)
	if !expires.IsZero() {
		claims.Expires = expires.Unix()
	}
	u.jwt, err = claims.Encode(accountKey)
	must(err)
	u.creds, err = jwt.FormatUserConfig(u.jwt, u.seed)
	must(err)
	return u
}

func (u *user) nkeyServer() server.Options {
	return server.Options{Nkeys: []*server.NkeyUser{{Nkey: u.public}}}
}

func (u *user) operatorServer(t *testing.T) server.Options {
	t.Helper()
	resolver := &server.MemAccResolver{}
	if err := resolver.Store(u.accountK, u.account); err != nil {
		t.Fatal(err)
	}
	return server.Options{TrustedOperators: []*jwt.OperatorClaims{u.operator}, AccountResolver: resolver}
}

// pki is an authority with a certificate for the server and one for a client.
type pki struct {
	ca, cert, key string // files
	pool          *x509.CertPool
	serverCert    tls.Certificate
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	authorityPEM, _, authorityKey := certificate(t, authority, authority, nil)
	leaf := func(serial int64, usage x509.ExtKeyUsage) (cert, key []byte) {
		cert, key, _ = certificate(t, &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		}, authority, authorityKey)
		return cert, key
	}
	clientCert, clientKey := leaf(2, x509.ExtKeyUsageClientAuth)
	serverCert, serverKey := leaf(3, x509.ExtKeyUsageServerAuth)
	p := &pki{ca: file(t, "ca.pem", authorityPEM), cert: file(t, "cert.pem", clientCert), key: file(t, "key.pem", clientKey), pool: x509.NewCertPool()}
	p.pool.AppendCertsFromPEM(authorityPEM)
	var err error
	if p.serverCert, err = tls.X509KeyPair(serverCert, serverKey); err != nil {
		t.Fatal(err)
	}
	return p
}

// certificate signs a template with the parent's key, or with its own.
func certificate(t *testing.T, template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (cert, key []byte, private *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if parentKey == nil {
		parentKey = private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &private.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), private
}

func (p *pki) server(t *testing.T, demandCertificate bool) server.Options {
	t.Helper()
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{p.serverCert}}
	if demandCertificate {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, p.pool
	}
	return server.Options{TLS: true, TLSVerify: demandCertificate, TLSTimeout: 10, TLSConfig: cfg}
}

func (p *pki) firstServer(t *testing.T) server.Options {
	t.Helper()
	options := p.server(t, false)
	options.TLSHandshakeFirst = true
	return options
}
