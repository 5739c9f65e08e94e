package config

import (
	"fmt"
	"net"
)

// problem is what is wrong with the settings of the admin listener, "" if nothing
// is. Profiles show the command line and stop the world now and then, and nobody
// has to log in for them.
func (a Admin) problem() string {
	if a.Pprof && !a.onLoopback() {
		return fmt.Sprintf("profiles are served on a loopback address only, and the admin listener is %q: "+
			"set BACKHAUL_ADMIN_ADDR or --admin-addr to one such as 127.0.0.1:9090, or turn this off", a.Addr)
	}
	return ""
}

func (a Admin) onLoopback() bool {
	host, _, err := net.SplitHostPort(a.Addr)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
