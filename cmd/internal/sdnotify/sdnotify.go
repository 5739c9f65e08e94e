// Package sdnotify tells systemd how a service fares: that it has started, that it
// is stopping, and, for its watchdog, that it still works. See sd_notify(3) and
// systemd.service(5), WatchdogSec=.
//
// Messages are single datagrams to $NOTIFY_SOCKET and are never waited for. Where
// that is not set, there is nobody to tell: [Open] returns nil, on which every
// method does nothing.
//
// Methods may be called at any time, from any goroutine.
package sdnotify

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// States that systemd knows.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	watchdog = "WATCHDOG=1"
)

// Status is a line for people, shown by `systemctl status`.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Socket is where a service manager listens.
type Socket struct {
	conn *net.UnixConn
	// interval is how often the watchdog wants to hear something, 0 if there is none.
	interval time.Duration
}

// Open finds the manager that started this process. It is nil if there is none.
func Open(lookupEnv func(string) (string, bool)) (*Socket, error) {
	path, ok := lookupEnv("NOTIFY_SOCKET")
	if !ok || path == "" {
		return nil, nil
	}
	// A name that begins with @ is an abstract one, for package net as well.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return &Socket{conn: conn, interval: watchdogInterval(lookupEnv)}, nil
}

// watchdogInterval is half of what the manager grants, as it recommends.
func watchdogInterval(lookupEnv func(string) (string, bool)) time.Duration {
	if pid, ok := lookupEnv("WATCHDOG_PID"); ok && pid != strconv.Itoa(os.Getpid()) {
		return 0 // meant for another process
	}
	text, _ := lookupEnv("WATCHDOG_USEC")
	microseconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || microseconds <= 0 {
		return 0
	}
	return time.Duration(microseconds) * time.Microsecond / 2
}

// sendTimeout bounds a message to a manager that reads none: its queue is full then.
const sendTimeout = time.Second

// Send tells the manager these states, in one message. A manager that does not read is an
// error after a second, so that it keeps no process from its end.
func (s *Socket) Send(states ...string) error {
	if s == nil {
		return nil
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write([]byte(strings.Join(states, "\n")))
	return err
}

// Watch tells the manager's watchdog regularly that the service works, if alive
// says so, until ctx ends. Each time that it does not, why is given to dead, and the
// manager hears nothing. alive may take as long as half of what the manager grants.
func (s *Socket) Watch(ctx context.Context, alive func(context.Context) error, dead func(error)) {
	if s == nil || s.interval == 0 {
		return
	}
	ticker := time.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, s.interval)
		err := alive(asked)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = s.Send(watchdog)
		}
		if err != nil {
			dead(err)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// Close lets go of the socket.
func (s *Socket) Close() {
	if s != nil {
		_ = s.conn.Close()
	}
}
