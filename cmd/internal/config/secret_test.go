package config

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"backhaul/cmd/internal/secret"
)

// utf16Text is a text as Windows PowerShell writes it.
func utf16Text(order binary.AppendByteOrder, text string) string {
	var data []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		data = order.AppendUint16(data, unit)
	}
	return string(data)
}

func TestCheck_filesForNATSInUTF16(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(utf16Text(binary.LittleEndian, "\ufeff-----BEGIN NATS USER JWT-----\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, auth := range map[string]NATSAuth{
		"creds": {Creds: file}, "nkey": {NKey: file}, "password": {User: "u", Password: secret.InFile(file)}, "token": {Token: secret.InFile(file)},
	} {
		err := NATS{URL: natsURL, InboxPrefix: "_INBOX", Auth: auth}.Check()
		if err == nil || !strings.Contains(err.Error(), file+": is UTF-16") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
