package vendorapi

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"backhaul/vendorapi/simulator"
)

// With refused credentials there is no capacity, for a reason of its own: another
// replica may have the right ones. Another secret is tried at once, by one request.
func TestCapacity_WithRefusedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		password := wrongPassword
		_, c := onPipe(t, simulator.Config{}, withAuth(Auth{Mode: AuthLogin, Username: testUser, Password: func() (Secret, error) { return password, nil }}))
		submit := func() (int, *Error) {
			t.Helper()
			r := &Retrier{Client: c, Policy: Policy{CapacityWait: time.Second}}
			_, attempts, err := r.Submit(t.Context(), t.Context(), testTask(), permitted)
			e, _ := errors.AsType[*Error](err)
			return attempts, e
		}
		before := time.Now()
		attempts, e := submit()
		if _, refused := errors.AsType[*LoginError](e); !refused || attempts != 1 || e.RetryAfter != loginPause || time.Since(before) > time.Second {
			t.Errorf("%d attempts within %s: %v", attempts, time.Since(before), e)
		}
		wantCapacity(t, c, 0, Cooldown{For: loginPause, Reason: CooldownLogin})
		<-time.After(10 * time.Second)
		attempts, e = submit()
		if _, refused := errors.AsType[*LoginError](e); !refused || attempts != 0 || e.Verdict != NotSent || e.RetryAfter != loginPause-10*time.Second {
			t.Errorf("%d attempts: %v", attempts, e)
		}
		wantCapacity(t, c, 0, Cooldown{For: loginPause - 10*time.Second, Reason: CooldownLogin})
		password = testPassword
		wantCapacity(t, c, 1, Cooldown{})
		if attempts, e = submit(); attempts != 1 || e != nil {
			t.Errorf("%d attempts with the right password: %v", attempts, e)
		}
		wantCapacity(t, c, 64, Cooldown{})
		noSecrets(t, c)
	})
}

// After the pause the same credentials are tried by one request.
func TestCapacity_AfterRefusedCredentialsIsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c := onPipe(t, simulator.Config{}, withAuth(tokenAuth("QSDK wrong")))
		_, err := c.CreateTask(t.Context(), testTask())
		wantLoginError(t, err, "replace it")
		wantCapacity(t, c, 0, Cooldown{For: loginPause, Reason: CooldownLogin})
		<-time.After(loginPause)
		wantCapacity(t, c, 1, Cooldown{})
	})
}
