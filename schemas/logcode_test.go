package schemas

import "testing"

func TestLogCode(t *testing.T) {
	for code, want := range map[string]string{
		"587207178": "35:4618", "587204050": "35:1490", "318767272": "19:168", "218103960": "13:152", "16777216": "1:0", "4294967295": "255:16777215",
		"16777215": "", "2": "", "": "", "0": "", "-587207178": "", "4294967296": "", "HTTP_400": "", "35:4618": "", "1e9": "",
	} {
		if got := LogCode(code); got != want {
			t.Errorf("LogCode(%q) = %q, want %q", code, got, want)
		}
	}
}
