// Package sdnotify reports the state of a service to systemd: that it has started, that it
// is stopping, and, for the watchdog, that it still works. See sd_notify(3) and
// systemd.service(5), WatchdogSec=.
//
// Messages are single datagrams to $NOTIFY_SOCKET without an answer. Without that variable,
// [Open] returns nil, and every method of a nil Socket does nothing.
//
// All methods are safe for concurrent use.
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

// States of a service, as systemd defines them.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	watchdog = "WATCHDOG=1"
)

// Status returns a state with a line of text for `systemctl status`.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Socket is a connection to the service manager.
type Socket struct {
	conn *net.UnixConn
	// interval is how often to notify the watchdog, 0 without a watchdog.
	interval time.Duration
}

// Open connects to the service manager that started this process. It returns nil without
// an error if there is none.
func Open(lookupEnv func(string) (string, bool)) (*Socket, error) {
	path, ok := lookupEnv("NOTIFY_SOCKET")
	if !ok || path == "" {
		return nil, nil
	}
	// A name that begins with @ is an abstract socket, in package net as well.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("NOTIFY_SOCKET: %w", err)
	}
	return &Socket{conn: conn, interval: watchdogInterval(lookupEnv)}, nil
}

// watchdogInterval returns half of the manager's timeout, as sd_watchdog_enabled(3)
// recommends, or 0 without a watchdog.
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

// sendTimeout bounds the wait for a manager that does not read and whose queue is full.
const sendTimeout = time.Second

// Send sends states to the manager in one message. If the manager does not read, Send
// returns an error after a second, so that it cannot block the process's end.
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

// Watch notifies the manager's watchdog regularly until ctx ends, as long as alive returns
// nil. If alive fails, or the notification does, Watch calls dead with the error instead.
// The context of alive ends after half of the manager's timeout.
func (s *Socket) Watch(ctx context.Context, alive func(context.Context) error, dead func(error)) {
	if s == nil || s.interval == 0 {
		return
	}
	ticker := time.NewTicker(s.interval)
	defer ticker.Stop()
	for {
		check, cancel := context.WithTimeout(ctx, s.interval)
		err := alive(check)
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

// Close closes the socket.
func (s *Socket) Close() {
	if s != nil {
		_ = s.conn.Close()
	}
}
