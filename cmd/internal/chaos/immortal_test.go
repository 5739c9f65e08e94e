package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"backhaul/cmd/internal/programtest"
	"backhaul/publisher/natstest/waittest"
)

// immortal is a program that is started again whenever it ends, as a service
// manager does it.
type immortal struct {
	name    string
	command func() *exec.Cmd // for one life
	log     *os.File
	stopped chan struct{} // closed when it must not come back
	gone    chan struct{} // closed when it will not

	mu     sync.Mutex
	hold   chan struct{}        // the next life begins when it is closed, at once if nil
	life   *programtest.Process // nil between two lives
	last   *programtest.Process // the latest that was, or is
	killed bool                 // this life, by us
	thawed time.Time            // when the latest freeze ends
	lives  int
	exits  map[int]int // by exit code, of lives that ended by themselves
	err    error       // why there is no further life
}

// exitPause is the wait before a program that ended by itself is started again,
// and maxLives bounds how often.
const (
	exitPause = 200 * time.Millisecond
	maxLives  = 500
)

// startImmortal starts a program whose output goes to name.log in dir.
func startImmortal(t *testing.T, dir, name string, command func() *exec.Cmd) *immortal {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	p := &immortal{
		name: name, command: command, log: log, exits: make(map[int]int),
		stopped: make(chan struct{}), gone: make(chan struct{}),
	}
	go p.live()
	t.Cleanup(func() {
		p.end(syscall.SIGKILL)
		<-p.gone
		_ = log.Close()
	})
	return p
}

func (p *immortal) live() {
	defer close(p.gone)
	for {
		life := p.begin()
		if life == nil {
			return
		}
		<-life.Done
		if byItself := p.ended(life); !byItself {
			p.wait()
			continue
		}
		timer := time.NewTimer(exitPause)
		select {
		case <-timer.C:
		case <-p.stopped:
		}
		timer.Stop()
	}
}

func (p *immortal) begin() *programtest.Process {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isStopped() || p.err != nil {
		return nil
	}
	if p.lives++; p.lives > maxLives {
		p.err = fmt.Errorf("%s was started %d times", p.name, maxLives)
		return nil
	}
	life := &programtest.Process{Cmd: p.command(), Output: &waittest.Log{}, Done: make(chan struct{})}
	life.Cmd.Stdout, life.Cmd.Stderr = p.log, p.log
	if p.err = life.Cmd.Start(); p.err != nil {
		return nil
	}
	fmt.Fprintf(p.log, "=== %s life %d, process %d\n", time.Now().UTC().Format(time.RFC3339Nano), p.lives, life.Cmd.Process.Pid)
	go func() {
		life.Err = life.Cmd.Wait()
		close(life.Done)
	}()
	p.life, p.last, p.killed = life, life, false
	return life
}

func (p *immortal) ended(life *programtest.Process) (byItself bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.life = nil
	if p.killed || p.isStopped() {
		return false
	}
	p.exits[life.ExitCode()]++
	return true
}

// wait is the time between two lives after a kill.
func (p *immortal) wait() {
	p.mu.Lock()
	hold := p.hold
	p.mu.Unlock()
	if hold == nil {
		return
	}
	select {
	case <-hold:
	case <-p.stopped:
	}
}

func (p *immortal) isStopped() bool {
	select {
	case <-p.stopped:
		return true
	default:
		return false
	}
}

// kill ends this life; the next one begins at once. It is false between lives.
func (p *immortal) kill() bool {
	p.mu.Lock()
	life := p.life
	if life != nil {
		p.killed = true
	}
	p.mu.Unlock()
	if life == nil {
		return false
	}
	life.Kill()
	return true
}

// terminate ends this life as a service manager does; the next one begins when it has ended.
func (p *immortal) terminate() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life != nil {
		p.killed = true
		_ = p.life.Cmd.Process.Signal(syscall.SIGTERM)
	}
}

// wasFrozen reports whether a freeze lasted beyond a time.
func (p *immortal) wasFrozen(since time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.thawed.After(since)
}

// pid returns the process of this life, 0 between two lives, and how many lives began.
func (p *immortal) pid() (pid, lives int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil {
		return 0, p.lives
	}
	return p.life.Cmd.Process.Pid, p.lives
}

// away ends this life, and lets no other begin until back is called.
func (p *immortal) away() (back func()) {
	hold := make(chan struct{})
	p.mu.Lock()
	p.hold = hold
	p.mu.Unlock()
	p.kill()
	return func() {
		p.mu.Lock()
		p.hold = nil
		p.mu.Unlock()
		close(hold)
	}
}

// freeze stops this process for a while, not one that was started after it.
func (p *immortal) freeze(d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.life == nil || p.life.Cmd.Process.Signal(syscall.SIGSTOP) != nil {
		return false
	}
	frozen := p.life.Cmd.Process
	p.thawed = time.Now().Add(d)
	time.AfterFunc(d, func() { _ = frozen.Signal(syscall.SIGCONT) })
	return true
}

// end sends this life a signal and lets no other follow.
func (p *immortal) end(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.isStopped() {
		close(p.stopped)
	}
	if p.life != nil {
		// A signal to a frozen process waits for it.
		_ = p.life.Cmd.Process.Signal(syscall.SIGCONT)
		_ = p.life.Cmd.Process.Signal(signal)
	}
}

// waitEnd waits for a program that was asked to stop, and returns how it ended.
func (p *immortal) waitEnd(patience time.Duration) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.gone:
	case <-timer.C:
		return fmt.Errorf("%s still runs %s after SIGTERM", p.name, patience)
	}
	switch {
	case p.err != nil:
		return p.err
	case p.last.ExitCode() != programtest.ExitDone:
		return fmt.Errorf("%s: exit code %d after SIGTERM", p.name, p.last.ExitCode())
	}
	return nil
}

// counts are how often the program was started, and how often it ended by
// itself, by exit code.
func (p *immortal) counts() (lives int, exits map[int]int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	copied := make(map[int]int, len(p.exits))
	for code, n := range p.exits {
		copied[code] = n
	}
	return p.lives, copied
}
