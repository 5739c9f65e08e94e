package archive

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// GenerateKey makes the keys of a log: the private one signs checkpoints, the public one opens
// them. The name is that of the log.
func GenerateKey(name string) (private, public string, err error) {
	if name == "" || strings.ContainsAny(name, "+ \t\r\n") {
		return "", "", fmt.Errorf("the name of a log is not empty, and has no spaces and no plus sign: %q", name)
	}
	private, public, err = note.GenerateKey(rand.Reader, name)
	if err != nil {
		return "", "", fmt.Errorf("make a key: %w", err)
	}
	return private, public, nil
}

// Signer signs checkpoints.
type Signer struct {
	note.Signer
	// Keys are the public keys with which a checkpoint may be signed that is in the archive
	// already: that of the signer, and earlier ones.
	Keys Keys
}

// With returns the signer of an archive whose checkpoints may be signed with earlier keys.
func (s Signer) With(earlier Keys) (Signer, error) {
	if earlier.Name() != s.Name() {
		return s, fmt.Errorf("the private key is of the log %s, and the public one of %s", s.Name(), earlier.Name())
	}
	for _, key := range earlier {
		if key.KeyHash() != s.KeyHash() {
			s.Keys = append(s.Keys, key)
		}
	}
	return s, nil
}

// OpenPrivateKey reads a key that [GenerateKey] made. No error shows any of it.
func OpenPrivateKey(text string) (Signer, error) {
	text = strings.TrimSpace(text)
	signer, err := note.NewSigner(text)
	if err != nil {
		return Signer{}, errors.New("it is no private key of a log, which begins with PRIVATE+KEY+; `backhaul archive keygen` makes one")
	}
	// The fifth part is a byte for the algorithm, and the seed.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(text, "+", 5)[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return Signer{}, errors.New("it is no Ed25519 key; `backhaul archive keygen` makes one")
	}
	public, _ := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	encoded, err := note.NewEd25519VerifierKey(signer.Name(), public)
	if err != nil {
		return Signer{}, fmt.Errorf("public key: %w", err)
	}
	key, err := note.NewVerifier(encoded)
	return Signer{signer, Keys{key}}, err
}

// Keys are the public keys of a log. There are several if a private one was lost or replaced; all
// have the name of the log.
type Keys []note.Verifier

// OpenPublicKeys reads public keys, one in a line. What follows a # is left out.
func OpenPublicKeys(text string) (Keys, error) {
	var keys Keys
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if strings.HasPrefix(line, "PRIVATE+KEY+") {
			return nil, errors.New("it is the private key of a log, where the public one is wanted: that in the file with .pub behind its name")
		}
		key, err := note.NewVerifier(line)
		if err != nil {
			return nil, fmt.Errorf("%.60q is no public key of a log, such as backhaul.example.com/events+8ca9ef29+AbC…", line)
		}
		if len(keys) > 0 && keys[0].Name() != key.Name() {
			return nil, fmt.Errorf("its keys are of two logs, %s and %s", keys[0].Name(), key.Name())
		}
		if !slices.ContainsFunc(keys, func(k note.Verifier) bool { return k.KeyHash() == key.KeyHash() }) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no public key of a log")
	}
	return keys, nil
}

// Name returns the name of the log.
func (k Keys) Name() string { return k[0].Name() }

// String lists the keys as they are named in signatures.
func (k Keys) String() string {
	var names []string
	for _, key := range k {
		names = append(names, fmt.Sprintf("%s+%08x", key.Name(), key.KeyHash()))
	}
	return strings.Join(names, ", ")
}
