package vendorapi

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// TestPairRenewal_theShareFailsForAMoment: the new pair exists nowhere but in this process.
func TestPairRenewal_theShareFailsForAMoment(t *testing.T) {
	for name, tt := range map[string]struct {
		back time.Duration
		lost bool
	}{"for a moment": {writePause * 3, false}, "for good": {time.Hour, true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "share")
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
				file := filepath.Join(dir, "pair.json")
				putPair(t, file, worldPair)
				sim, c := onPipe(t, simulator.Config{World: twoPairs()}, bearer(file))
				<-time.After(time.Hour)
				sim.ScriptFor("AccessTokenRenew", simulator.Fault{Kind: simulator.Slow, For: 2 * time.Second})
				time.AfterFunc(time.Second, func() { move(t, dir, dir+".away") })
				time.AfterFunc(time.Second+tt.back, func() { move(t, dir+".away", dir) })
				job, err := c.CreateTask(t.Context(), testTask())
				if !tt.lost {
					wantJob(t, job, err)
				} else {
					wantLoginError(t, err, "could not be written")
					<-time.After(tt.back)
					_, err = c.CreateTask(t.Context(), testTask())
					wantLoginError(t, err, "was interrupted")
				}
				wantRenewals(t, sim, 1, 1)
			})
		})
	}
	t.Run("before it is sent", func(t *testing.T) {
		cfg, expire := expiring()
		dir := t.TempDir()
		file := filepath.Join(dir, "pair.json")
		putPair(t, file, worldPair)
		sim, c := onLoopback(t, cfg, bearer(file))
		expire()
		if err := os.Mkdir(file+".new", 0o700); err != nil { // nothing can be written
			t.Fatal(err)
		}
		_, err := c.CreateTask(t.Context(), testTask())
		if wantVerdict(t, err, NotSent); !strings.Contains(err.Error(), "note the renewal") {
			t.Errorf("%v", err)
		}
		wantRenewals(t, sim, 0, 0)
		if err := os.Remove(file + ".new"); err != nil {
			t.Fatal(err)
		}
		job, err := c.CreateTask(t.Context(), testTask())
		wantJob(t, job, err)
	})
}

func move(t *testing.T, from, to string) {
	if err := os.Rename(from, to); err != nil {
		t.Error(err)
	}
}

// TestPairRenewal_anOperatorReplacesThePair: an operator's pair is not overwritten by the end of a
// renewal, whatever that end is.
func TestPairRenewal_anOperatorReplacesThePair(t *testing.T) {
	for name, renew := range map[string]http.HandlerFunc{
		"renewed": always(200, `{"accessToken":"new-5ec7e7","refreshToken":"new-5ec7e7"}`), "refused": always(401, denied),
	} {
		t.Run(name, func(t *testing.T) {
			file := pairAt(t, worldPair)
			v := startVendor(t, map[string]http.HandlerFunc{
				"CreateTask": func(w http.ResponseWriter, r *http.Request) {
					if r.Header.Get("Authorization") == "Bearer "+worldToken {
						reply(w, 401, denied)
						return
					}
					reply(w, 200, `{"jobIds":["1"]}`)
				},
				"Renew": func(w http.ResponseWriter, r *http.Request) {
					putPair(t, file, secondPair)
					renew(w, r)
				},
			})
			c := newTestClient(t, v.url, bearer(file))
			if _, err := c.CreateTask(t.Context(), testTask()); name == "refused" {
				wantLoginError(t, err, "Access denied")
			} else if err != nil {
				t.Error(err)
			}
			job, err := c.CreateTask(t.Context(), testTask()) // no pause
			wantJob(t, job, err)
			if pair := pairIn(t, file); pair != secondPair {
				t.Error("the operator's pair is lost")
			}
		})
	}
}

// TestPairRenewal_thePairComesLater: a process that starts before the file exists waits for it.
func TestPairRenewal_thePairComesLater(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pair.json")
	sim, c := onLoopback(t, simulator.Config{World: twoPairs()}, bearer(file))
	for range 3 {
		_, err := c.CreateTask(t.Context(), testTask())
		if wantVerdict(t, err, NotSent); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "BACKHAUL_VENDOR_TOKEN_PAIR_FILE") {
			t.Errorf("%v", err)
		}
	}
	if err := os.WriteFile(file, []byte(`{"accessToken":"5ec7e7`), 0o600); err != nil { // half written
		t.Fatal(err)
	}
	_, err := c.CreateTask(t.Context(), testTask())
	wantVerdict(t, err, NotSent)
	if n := len(sim.Account().Calls); n != 0 {
		t.Error("the vendor was called")
	}
	putPair(t, file, worldPair)
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
}

// TestPairRenewal_thePairIsBehindALink: the file is replaced, not the link, or another process
// would find the old pair behind its own link.
func TestPairRenewal_thePairIsBehindALink(t *testing.T) {
	cfg, expire := expiring()
	file := pairAt(t, worldPair)
	link := filepath.Join(t.TempDir(), "link.json")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	sim, c := onLoopback(t, cfg, bearer(link))
	expire()
	job, err := c.CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	job, err = newTestClient(t, c.endpoint, bearer(file)).CreateTask(t.Context(), testTask())
	wantJob(t, job, err)
	wantRenewals(t, sim, 1, 1)
	if pair := pairIn(t, file); pair == worldPair {
		t.Error("the file behind the link has the old pair")
	}
}

// TestPairFile_isSynced: the new pair before it replaces the old one, then the directory.
func TestPairFile_isSynced(t *testing.T) {
	defer func() { syncFile = (*os.File).Sync }()
	full := errors.New("the disk is full")
	for failing, want := range map[string]string{
		"pair.json.new": "pair.json.new beside the old pair",
		"share":         "pair.json.new beside the old pair, share beside the new pair",
		"":              "pair.json.new beside the old pair, share beside the new pair",
	} {
		file := filepath.Join(t.TempDir(), "share", "pair.json")
		if err := os.Mkdir(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		putPair(t, file, worldPair)
		var synced []string
		syncFile = func(f *os.File) error {
			name := filepath.Base(f.Name())
			synced = append(synced, name+" beside the "+map[bool]string{true: "old", false: "new"}[pairIn(t, file) == worldPair]+" pair")
			if name == failing {
				return full
			}
			return nil
		}
		err := pairFile(file).write(secondPair)
		if got := strings.Join(synced, ", "); got != want || errors.Is(err, full) != (failing != "") {
			t.Errorf("synced %s, error %v", got, err)
		}
	}
}

func TestPairFile_isChecked(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "pair.json")
	check := Auth{Mode: AuthBearer, TokenPairFile: file}.Check
	if err := check(); err != nil {
		t.Errorf("a pair may come later: %v", err)
	}
	for _, text := range []string{
		"", "5ec7e7", "[]", `{"accessToken":"5ec7e7"}`, `{"accessToken":"5ec7e7","refreshToken":""}`, `{"accessToken":1,"refreshToken":2}`,
		`{"accessToken":"Bearer 5ec7e7","refreshToken":"5ec7e7"}`, `{"accessToken":"5ec7e7\n","refreshToken":"5ec7e7"}`,
		`{"tokenInfo":{"accessToken":"5ec7e7","refreshToken":"5ec7e7"}}`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		err := check()
		if err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%s: %v", text, err)
		}
		noSecrets(t, err)
	}
	putPair(t, file, worldPair)
	if err := check(); err != nil {
		t.Error(err)
	}
	for name, auth := range map[string]Auth{
		"no file":      {Mode: AuthBearer},
		"no directory": {Mode: AuthBearer, TokenPairFile: filepath.Join(dir, "none", "pair.json")},
		"a directory":  {Mode: AuthBearer, TokenPairFile: dir},
	} {
		if err := auth.Check(); err == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}
